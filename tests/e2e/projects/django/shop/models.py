from django.db import models


class Invoice(models.Model):
    order = models.IntegerField(unique=True)
    cents = models.IntegerField()
