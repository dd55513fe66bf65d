"""Jobs: calls that outlive their request and survive their server."""
