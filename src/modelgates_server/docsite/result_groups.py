"""Search results in groups, as people see them."""

from collections.abc import Iterable

from modelgates_server.docsite.model import Excerpt

GUIDES, REFERENCE, BACKGROUND = "Guides", "API reference", "Concepts & decisions"
STEP = " \u203a "
"""Between the parts of a breadcrumb."""

_BACKGROUND_SECTIONS = frozenset({"Concepts", "Decisions"})


def group_of(section: str) -> str:
    """The group of a section of the navigation, such as `API reference: Credits`."""
    if section in _BACKGROUND_SECTIONS:
        return BACKGROUND
    return REFERENCE if section.startswith(REFERENCE) else GUIDES


def trail(section: str) -> str:
    """The breadcrumb of a section, with `STEP` for the colon in `API reference: Credits`."""
    return section.replace(": ", STEP)


def grouped(excerpts: Iterable[Excerpt]) -> list[tuple[str, list[Excerpt]]]:
    """The groups with results, the one with the best result first and the background last."""
    groups = dict[str, list[Excerpt]]()
    for excerpt in excerpts:
        groups.setdefault(group_of(excerpt.section), []).append(excerpt)
    return sorted(groups.items(), key=lambda group: group[0] == BACKGROUND)
