"""Services as tools of assistants: the Model Context Protocol (MCP)."""
