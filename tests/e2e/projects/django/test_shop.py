import pytest
from shop.models import Invoice
from shop.tasks import invoice


@pytest.mark.django_db
def test_the_task_in_django_s_own_test_database():
    invoice(1, 900)
    invoice(1, 900)
    assert Invoice.objects.count() == 1


def test_an_invoice_is_written_once_though_its_worker_dies(harness):
    harness.crash(invoice, "before_ack")
    harness.send(invoice, 1, 900)
    harness.check()
