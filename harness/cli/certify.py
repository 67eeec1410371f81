"""`celery-harness certify`: certificates of tasks that no crash breaks, as files to commit; and whether they still hold."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["certify"]


@click.command()
@click.argument("targets", metavar="[SCENARIO|APP]...", nargs=-1)
@click.option("--task", default="", help="This task alone.")
@click.option("--args", "arguments", default="", help="Its positional arguments, as a JSON list; or types, or module:strategy.")
@click.option("--kwargs", "keywords", default="", help="Its keyword arguments, as a JSON object.")
@click.option("--folder", default="", help="Where certificates lie. [default: certificates]")
@click.option("--check", is_flag=True, help="Explore nothing, write nothing: fail where a certificate is missing or stale.")
@click.option("--worlds", type=click.IntRange(1, 1_000_000), help="Visit at most so many.")
@click.option("--time", "seconds", default="", help="Visit for at most so long, such as 60s, for each task.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="For logs while it runs.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="Instead of the scenario's own: it picks the worlds that are reached again."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per task on standard output.")
@click.pass_context
def certify(
    context: click.Context,
    targets: tuple[str, ...],
    task: str,
    arguments: str,
    keywords: str,
    folder: str,
    check: bool,
    worlds: int | None,
    seconds: str,
    reports: Path,
    seed: int | None,
    as_json: bool,
) -> None:
    """Explore tasks and write a certificate of each that no crash breaks, or check that the certificates still hold.

    Without a name: all scenarios below scenarios/ that explore something, and all that there are certificates of. Both folders
    can be set under [tool.celery-harness.certificates] in pyproject.toml: `files` and `folder`.
    """
    from harness.cli.certify_run import run_certify, run_check
    from harness.cli.certify_subjects import Asked
    from harness.cli.explore import arguments_of, json_of, seconds_of
    from harness.errors import UsageError
    from harness.explore.certificates import certificate_settings

    root = Path.cwd().resolve()
    args, kwargs = arguments_of(arguments), json_of("--kwargs", keywords, dict)
    if not task and (args is not None or kwargs is not None):
        raise UsageError("--args and --kwargs belong to a task", hint="name it with --task")
    limit = {name: value for name, value in (("worlds", worlds), ("time", seconds_of(seconds))) if value is not None}
    of_celery = str(context.find_root().obj or "")  # see `harness.celery_command`
    asked = Asked(
        targets=targets or ((of_celery,) if of_celery and task else ()),
        task=task,
        args=args,
        kwargs=kwargs,
        limit=limit,
        folder=folder or certificate_settings(root).folder,
        own_folder=bool(folder),
        reports=reports,
        seed=seed,
        as_json=as_json,
        root=root,
    )
    raise click.exceptions.Exit((run_check if check else run_certify)(asked))
