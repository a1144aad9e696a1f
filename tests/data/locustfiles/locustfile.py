"""A locustfile as people write them: two kinds of users, tasks in sets, options of its own, listeners, checks."""

import logging

from catalogue import BROWSE
from locust import FastHttpUser, HttpUser, SequentialTaskSet, between, constant_pacing, events, tag, task
from locust.runners import MasterRunner


@events.init_command_line_parser.add_listener
def add_options(parser):
    parser.add_argument("--currency", default="EUR")


@events.init.add_listener
def ready(environment, runner, **_):
    if not isinstance(runner, MasterRunner):
        logging.warning("init: worker %d of %d", runner.worker_index, runner.worker_count)


@events.test_start.add_listener
def begun(environment, **_):
    logging.warning("test_start: %s in %s", environment.host, environment.parsed_options.currency)


@events.test_stop.add_listener
def over(environment, **_):
    logging.warning("test_stop: %d failures", environment.stats.total.num_failures)


@events.quitting.add_listener
def quitting(environment, **_):
    logging.warning("quitting")


class Checkout(SequentialTaskSet):
    @task
    def cart(self):
        self.client.post("/cart", json={"item": 17})

    @task
    def leave(self):
        self.interrupt()


class Buyer(HttpUser):
    host = "http://somewhere.else.invalid"
    wait_time = between(0.02, 0.05)
    weight = 3
    tasks = {Checkout: 1}  # noqa: RUF012 - as people write it

    def on_start(self):
        self.client.get("/login")

    def on_stop(self):
        self.client.get("/logout")

    @task(3)
    def browse(self):
        self.client.get(BROWSE)

    @task
    def item(self):
        self.client.get("/item/17", name="/item/[id]")


class Robot(FastHttpUser):
    wait_time = constant_pacing(0.03)

    @tag("read")
    @task
    def root(self):
        with self.client.get("/", catch_response=True) as response:
            if response.text != "right":
                response.failure("wrong body")

    @task
    def prices(self):
        from prices import LIST

        with self.rest("GET", LIST) as response:
            assert response.js is not None
