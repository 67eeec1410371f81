from celery import shared_task

from shop.models import Invoice


@shared_task(name="shop.invoice")
def invoice(order, cents):
    Invoice.objects.get_or_create(order=order, defaults={"cents": cents})
