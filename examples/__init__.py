"""Services to judge out of the box."""
