"""``python -m celery_harness_agent worker|producer|check|call|zygote|draw|locust|locust-check``."""

from __future__ import annotations

import sys

from celery_harness_agent import settings

_USAGE = (
    "usage: python -m celery_harness_agent worker|producer|check|call|zygote|draw|locust|locust-check "
    "[options of celery worker, or of locust]\n"
)


def main(argv: list[str]) -> None:
    """Run one program; never returns normally but for a producer that was told to stop."""
    program, options = (argv[0], argv[1:]) if argv else ("", [])
    if program == "worker":
        from celery_harness_agent import worker

        worker.main(settings.load(), options)
    elif program == "producer":
        from celery_harness_agent import producer

        producer.main(settings.load())
    elif program == "check":
        from celery_harness_agent import check

        check.main(settings.load())
    elif program == "call":
        from celery_harness_agent import call

        call.main(settings.load())
    elif program == "zygote":
        from celery_harness_agent import zygote

        zygote.main(settings.load(), options)
    elif program == "draw":
        from celery_harness_agent import drawing

        drawing.main(settings.load())
    elif program in ("locust", "locust-check"):
        from celery_harness_locust import program as of_locust

        if program == "locust":
            of_locust.main(settings.load(), options)
        else:
            of_locust.check(settings.load())
    else:
        sys.stderr.write(_USAGE)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
