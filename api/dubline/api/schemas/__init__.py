"""What travels over HTTP: one pydantic model per request and answer, a module per noun."""
