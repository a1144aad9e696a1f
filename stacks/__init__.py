"""The CDK side: the clone of the service, and what judges it. It meets ``readiness`` as a template and its outputs."""
