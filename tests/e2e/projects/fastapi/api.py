import os

import httpx
from celery import Celery
from fastapi import FastAPI

celery = Celery("api", broker=os.environ.get("API_BROKER", "redis://localhost:6379/0"))
celery.conf.update(task_acks_late=True, worker_prefetch_multiplier=1)
api = FastAPI()


@celery.task(name="api.welcome")
def welcome(address):
    httpx.post(os.environ["MAIL_API"] + "/mails", json={"to": address}).raise_for_status()


@api.post("/users", status_code=202)
async def register(address: str):
    welcome.delay(address)
    return {"address": address}
