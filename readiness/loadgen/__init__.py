"""The load generator: what runs in the fleet's containers, and the records in which it talks to the harness.

``order``, ``rows``, ``template`` and ``lines`` are shared with the harness and import neither Locust nor gevent, which
would patch the whole process; the other modules are the generator's own.
"""
