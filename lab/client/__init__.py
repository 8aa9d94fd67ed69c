"""The client that measures: it uses the services as users do, and keeps every acknowledgement."""
