"""Messages of brokers become calls, and their results messages."""
