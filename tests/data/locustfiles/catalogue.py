"""What the shop's locustfile imports: at once, and when a task runs."""

BROWSE = "/browse"
