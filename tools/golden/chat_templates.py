#!/usr/bin/env python3
"""Renders chat templates with the transformers package, for tests/data/chat/templates.json.

    pip install transformers jinja2
    python tools/golden/chat_templates.py tests/data/chat/templates.json

Each case (chat_cases.py, chat_expressions.py) is a template, a conversation and what transformers
makes of it: the text, the characters inside {% generation %} blocks, or "error" where it refuses.
The tests render the same without transformers.
"""

import datetime
import json
import sys

import chat_expressions  # noqa: F401, adds its cases
import transformers
import transformers.utils.chat_template_utils as chat
from chat_cases import CASES

NOW = datetime.datetime(2024, 7, 4, 15, 6, 9)  # a Thursday
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def render(given):
    rest = {k: v for k, v in given.items() if k not in ("name", "template")}
    messages = rest.pop("messages")
    messages = chat._normalize_chat_messages(messages)
    texts, generated = chat.render_jinja_template(
        conversations=[messages],
        chat_template=given["template"],
        return_assistant_tokens_mask="generation" in given["template"],
        **{**TOKENS, **rest},
    )
    result = {"text": texts[0]}
    if generated:
        result["generated"] = generated[0]
    return result


def main():
    chat.datetime = FixedClock
    rows = []
    for given in CASES:
        try:
            result = render(given)
            json.dumps(result, ensure_ascii=False).encode()
        except Exception as error:  # whatever Python says: transformers does not render it
            result = {"error": f"{type(error).__name__}: {error}"[:100]}
        rows.append({**given, **result})
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names), "names are unique"
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump({
            "made_with": f"transformers {transformers.__version__}",
            "now": "2024-07-04T15:06:09",
            "tokens": TOKENS,
            "cases": rows,
        }, out, ensure_ascii=False, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
