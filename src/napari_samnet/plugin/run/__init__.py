"""The background worker and the steps that it runs."""
