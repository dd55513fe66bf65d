"""The configuration of common assistants for a server. Pure functions."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

KEY = "YOUR_KEY"
"""What users replace by an API key."""


@dataclass(frozen=True, slots=True)
class AssistantClient:
    """How to connect one assistant: what to do, and the text to copy."""

    name: str
    advice: str
    code: str


def clients(server: str, url: str) -> list[AssistantClient]:
    """Return what each assistant needs.

    Parameters
    ----------
    server
        The name under which assistants list the tools.
    url
        The URL of the protocol, as the user's browser sees it.
    """
    bearer = {"Authorization": f"Bearer {KEY}"}
    return [
        AssistantClient(
            "Claude Code",
            "Run this in a terminal.",
            f"claude mcp add --transport http {server} {url} \\\n"
            f'  --header "Authorization: Bearer {KEY}"\n',
        ),
        AssistantClient(
            "Claude Desktop",
            "Add this to claude_desktop_config.json (Settings, Developer, Edit Config) and restart "
            "the app. It needs Node.js.",
            _json({"mcpServers": {server: _bridge(url)}}),
        ),
        AssistantClient(
            "VS Code",
            "Save this as .vscode/mcp.json. VS Code asks for the key and stores it.",
            _json(_vs_code(server, url)),
        ),
        AssistantClient(
            "Cursor",
            "Save this as .cursor/mcp.json in your project, or as ~/.cursor/mcp.json.",
            _json({"mcpServers": {server: {"url": url, "headers": bearer}}}),
        ),
        AssistantClient(
            "ChatGPT",
            "ChatGPT connects only to servers that the internet can reach by HTTPS. In its "
            "developer mode, create a connector with this URL. It sends no key: choose 'No "
            "authentication', which works for public services.",
            f"{url}\n",
        ),
        AssistantClient(
            "OpenAI API",
            "The same condition holds: OpenAI's servers must reach this one.",
            _openai(server, url),
        ),
        AssistantClient(
            "Gemini CLI",
            "Add this to ~/.gemini/settings.json.",
            _json({"mcpServers": {server: {"httpUrl": url, "headers": bearer}}}),
        ),
        AssistantClient(
            "Others",
            "Any client of the Model Context Protocol with the transport Streamable HTTP.",
            f"URL: {url}\nHeader: Authorization: Bearer {KEY}\n",
        ),
    ]


def _bridge(url: str) -> dict[str, Any]:
    """Return a local program that connects to the server, for apps that start programs only."""
    arguments = ["-y", "mcp-remote", url, "--header", "Authorization:${AUTH_HEADER}"]
    if urlsplit(url).scheme == "http":
        arguments.append("--allow-http")
    return {"command": "npx", "args": arguments, "env": {"AUTH_HEADER": f"Bearer {KEY}"}}


def _vs_code(server: str, url: str) -> dict[str, Any]:
    key = {"id": "easymlnb-key", "type": "promptString", "description": "API key", "password": True}
    headers = {"Authorization": "Bearer ${input:easymlnb-key}"}
    return {
        "inputs": [key],
        "servers": {server: {"type": "http", "url": url, "headers": headers}},
    }


def _openai(server: str, url: str) -> str:
    return (
        "from openai import OpenAI\n\n"
        "response = OpenAI().responses.create(\n"
        '    model="gpt-5",\n'
        "    tools=[{\n"
        '        "type": "mcp",\n'
        f'        "server_label": "{server}",\n'
        f'        "server_url": "{url}",\n'
        f'        "authorization": "{KEY}",\n'
        '        "require_approval": "never",\n'
        "    }],\n"
        '    input="What can you do with these tools?",\n'
        ")\n"
        "print(response.output_text)\n"
    )


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"
