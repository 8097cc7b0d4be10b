#!/usr/bin/env python3
"""Writes what follows from the settings that `millwright doctor --settings --json` tells.

settings_tables.py docs|python <JSON prints docs/settings.md or python/millwright/_settings.py.
"""

import json
import sys

HEAD = """# Settings

## Of training

What `train` and `distill` take: the commands, `mw::train()` in C++ (as `mw::TrainingSettings`), `mw_train()` in C (by `mw_settings_set()`) and
`train()` in Python. A student alone (`StudentModel`) takes those from `optimizer` to `lora_dora`. `tools/settings_tables.sh` writes this page from
what stands once, in `include/millwright/settings.hpp` and `run_settings.hpp`. A YAML file has the names, or the options without dashes.

| setting | option | what is allowed | usual | |
|---|---|---|---|---|
"""
LOADING = """
## Of opening a model

What every command takes that runs a model, `CoreMLModelWrapper::load()` in C++, `mw_model_load_with()` in C (by
`mw_settings_set()`) and `MLModel` in Python (where `function` is `function_name`, and `profile` is not told of).

| setting | option | what is allowed | usual | |
|---|---|---|---|---|
"""
GENERATING = """
## Of generation

How a text is continued: the commands `generate` and `chat`, `CoreMLModelWrapper::generate()` in C++ (as `mw::GenerationSettings`),
`mw_generate()` in C (by `mw_settings_set()`) and `MLModel.generate()` in Python. What they do, in which order:
[language-models.md](language-models.md#generation). An option of a list is given once for each value; in Python `logit_bias` may be
a dict of ids or texts.

| setting | option | what is allowed | usual | |
|---|---|---|---|---|
"""
# Decided by options of a run, or for programs alone.
NO_OPTION = {
    "lora_seed": "`--seed`",
    "wrt_inputs": "–",
    "naive": "–",
    "groups": "`--group GLOB:lr=NUMBER,decay=NUMBER`",
}
CLASSES = '''"""Settings of opening, training and generation. tools/settings_tables.sh writes this file from include/millwright/settings.hpp."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import TypeAlias, TypedDict
'''
BETAS = '''
    betas: InitVar[tuple[float, float] | None] = None

    def __post_init__(self, betas: tuple[float, float] | None) -> None:
        """`betas` gives both at once."""
        if betas is not None:
            for name, value in zip(("beta1", "beta2"), betas, strict=True):
                object.__setattr__(self, name, value)
'''
ALL = '''

@dataclass(frozen=True)
class TrainingSettings:
    """All that a run is told."""

    run: RunSettings
    student: StudentOptions = StudentOptions()
    distill: DistillOptions = DistillOptions()
'''
# Of members of lists, what says which they are.
REQUIRED = ("glob", "token", "bias")
# Of train(), by position.
GIVEN_FIRST = ("data", "output")
# What a keyword takes beside the type of its member.
MORE_TYPES = {
    **dict.fromkeys(("schedule", "tokenizer", "adapter", "prompt_cache"), " | None"),
    "logit_bias": " | Mapping[int | str, float]",
}
TYPES = {
    "number": "float",
    "whole number": "int",
    "flag": "bool",
    "text": "str",
    "choice": "str",
    "path": "str | os.PathLike[str]",
}


def usual_of(setting):
    if setting.get("optimizers"):
        values = {row["usual"] for row in setting["optimizers"]}
        names = [row["name"] for row in setting["optimizers"]]
        if len(values) == 1:
            return f"{values.pop()} ({', '.join(names)})"
        return ", ".join(f"{row['usual']} ({row['name']})" for row in setting["optimizers"])
    return " ".join(setting["usual"]).replace("*", "\\*")


def rows_of(settings, elsewhere):
    rows = ""
    for setting in settings:
        name = setting["name"]
        option = elsewhere.get(name, f"`{setting['option']}`")
        cells = (f"`{name}`", option, setting["allowed"], usual_of(setting), setting["help"])
        rows += "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    return rows


def docs(facts):
    members = {struct["name"]: struct["members"] for struct in facts["structs"]}
    page = HEAD + rows_of(facts["settings"], NO_OPTION)
    page += LOADING + rows_of(members["LoadOptions"], {"profile": "`run --profile`"})
    page += GENERATING + rows_of(members["GenerationSettings"], {})
    page += "\n## Optimisers\n\n"
    for struct in facts["structs"]:
        if struct["optimizer"]:
            names = ", ".join(f"`{member['name']}`" for member in struct["members"])
            page += f"- **{struct['name'].lower()}**: {struct['help']}. It has {names}.\n"
    return page


def python_type(member):
    # Of a struct, or of several that one is chosen of.
    one = "Optimizer" if " | " in member["type"] else TYPES.get(member["type"], member["type"])
    if member["list"]:
        one = f"Sequence[{one}]" + (f" | {one}" if one == "float" else "")
    return one + (" | None" if member["optional"] else "")


def as_python(kind, value):
    if kind == "number":
        return repr(float(value))
    if kind == "flag":
        return str(value == "true")
    return value if kind == "whole number" else f'"{value}"'


def literal(member):
    """The usual value as Python has it."""
    if " | " in member["type"]:
        return member["type"].split(" | ")[0] + "()"
    if member["optional"]:
        return "None"
    values = [as_python(member["type"], value) for value in member["usual"]]
    if member["list"]:
        return "(" + "".join(f"{value}, " for value in values).rstrip(" ") + ")"
    return values[0] if values else member["type"] + "()"


def sentence(text):
    is_file_name = "." in text.split()[0]
    return text + "." if is_file_name else text[0].upper() + text[1:] + "."


def class_of(struct):
    lines = [f'    """{sentence(struct["help"])}"""', ""]
    for member in struct["members"]:
        lines.append(f"    #: {sentence(member['help'])}")
        required = member["name"] in REQUIRED
        value = "" if required else f" = {literal(member)}"
        lines.append(f"    {member['name']}: {python_type(member)}{value}")
    text = f"\n\n@dataclass(frozen=True)\nclass {struct['name']}:\n" + "\n".join(lines) + "\n"
    names = {member["name"] for member in struct["members"]}
    return text + BETAS if {"beta1", "beta2"} <= names else text


def by_name(title, base, help, structs, without=()):
    """A dict of keywords: those of the base, and the members of structs side by side."""
    text = f'\n\nclass {title}({base}, total=False):\n    """{help}"""\n\n'
    for struct in structs:
        for member in struct["members"]:
            if member["name"] not in ("optimizer", *GIVEN_FIRST, *without):
                optional = MORE_TYPES.get(member["name"], "")
                text += f"    {member['name']}: {python_type(member)}{optional}\n"
    return text


def python(facts):
    structs = {struct["name"]: struct for struct in facts["structs"]}
    optimizers = [struct["name"] for struct in facts["structs"] if struct["optimizer"]]
    load = structs.pop("LoadOptions")
    run, student, distill = map(structs.pop, ("RunSettings", "StudentOptions", "DistillOptions"))
    generation = structs.pop("GenerationSettings")
    text = CLASSES + "".join(class_of(struct) for struct in structs.values())
    text += f"\n\nOptimizer: TypeAlias = {' | '.join(optimizers)}\n"
    text += class_of(load) + class_of(student) + class_of(run) + class_of(distill) + ALL
    text += class_of(generation)
    # The function is function_name there, as coremltools has it; times are printed by the command alone.
    text += by_name("LoadSettings", "TypedDict", "What MLModel takes by name.", [load], ("function", "profile"))
    known = {member["name"] for member in load["members"]}
    text += by_name("Settings", "LoadSettings", "What a StudentModel takes by name.", [student], known)
    text += by_name("GenerateSettings", "TypedDict", "What MLModel.generate() takes by name.", [generation])
    text += by_name("TrainSettings", "Settings", "What train() takes by name.", [run, distill])
    exported = "".join(f'    "{name}",\n' for name in sorted(structs))
    return text + f"\n\n__all__ = [\n{exported}]\n"


def main():
    writers = {"docs": docs, "python": python}
    if len(sys.argv) != 2 or sys.argv[1] not in writers:
        sys.exit("settings_tables.py: expected docs or python, and JSON on standard input")
    print(writers[sys.argv[1]](json.load(sys.stdin)), end="")


if __name__ == "__main__":
    main()
