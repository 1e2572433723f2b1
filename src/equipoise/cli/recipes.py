"""`equipoise recipes`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from equipoise.cli._options import JsonOption, console, print_json

NameArgument = Annotated[
    str | None, typer.Argument(help="Recipe to print: a name from the list, or a file.", metavar="RECIPE")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key, such as training.epochs=5; repeatable.")
]
FullOption = Annotated[bool, typer.Option("--full", help="Print every key with its value, defaults included.")]


def recipes(
    name: NameArgument = None, set_: SetOption = None, full: FullOption = False, json: JsonOption = False
) -> None:
    """List the recipes that come with Equipoise, or print one: `equipoise recipes comorbidity > mine.yaml`."""
    from equipoise.recipe import packaged_recipes, read_recipe, recipe_summary

    if name is None:
        summaries = {known: recipe_summary(path) for known, path in packaged_recipes().items()}
        if json:
            print_json(summaries)
            return
        width = max(map(len, summaries))
        for known, summary in summaries.items():
            console().print(f"{known:<{width}}  {summary}")
        console().print(
            "\nPrint one with: equipoise recipes NAME      Train with: equipoise train NAME --set data.table=TABLE.csv"
        )
        return
    recipe = read_recipe(name, set_ or ())  # also when its text is printed: a recipe with an error is not shown as good
    if json:
        print_json(recipe.model_dump(mode="json"))
    elif full or set_ or name not in packaged_recipes():
        sys.stdout.write(recipe.to_yaml())
    else:
        sys.stdout.write(packaged_recipes()[name].read_text(encoding="utf-8"))
