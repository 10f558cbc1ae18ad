"""What every part of the compiler needs: the document, its folder, its secrets, and a list of mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from sipagent.calls.template import Template, TemplateError, line_and_column, parse_template
from sipagent.calls.variables import VariableSource, check_template
from sipagent.config.broken import PLACEHOLDER, Broken
from sipagent.config.files import FilesRead
from sipagent.config.loader import Document
from sipagent.config.schema import Configuration
from sipagent.config.schema.web import literal_secrets
from sipagent.config.secrets import REFERENCE, Secrets, reference_in_words
from sipagent.config.source import KeyPath
from sipagent.config.values import BadValueError, closest, suggestion
from sipagent.errors import Problem

Wrong = Callable[[int, str, str], None]
"""Reports a mistake at an offset of a text: what was seen, and what to write instead."""


class Compiling:
    """One compilation: collects mistakes instead of stopping at the first."""

    def __init__(
        self,
        document: Document,
        folder: Path,
        read: FilesRead,
        secrets: Secrets,
        broken: Broken | None = None,
    ) -> None:
        """``broken`` says what could not be read of the file: nothing is reported that may come of that."""
        self.document = document
        self.folder = folder
        self.secrets = secrets
        self.broken = broken or Broken()
        self._read = read
        self.problems: list[Problem] = []
        self._texts: dict[Path, str] = {}

    @property
    def configuration(self) -> Configuration:
        """What is compiled."""
        return self.document.configuration

    def names(self, key: str) -> tuple[str, ...]:
        """The names of what stands below ``key`` at the top of the file, also of what could not be read."""
        read = (name for name in getattr(self.configuration, key) if name != PLACEHOLDER)
        return tuple(dict.fromkeys((*read, *self.broken.names((key,)))))

    def report(
        self,
        path: KeyPath,
        message: str,
        remedy: str,
        *,
        at_key: bool = False,
        relies_on: Iterable[KeyPath] | None = None,
    ) -> None:
        """A mistake at ``path``; ``relies_on`` has the other places that it was found by, see `Broken`."""
        if (
            PLACEHOLDER not in path
            and PLACEHOLDER not in message
            and not self.broken.explains(path, relies_on)
        ):
            self.problems.append(self.document.source.problem(path, message, remedy, at_key=at_key))

    def report_inside(
        self,
        path: KeyPath,
        text: str,
        offset: int,
        message: str,
        remedy: str,
        *,
        relies_on: Iterable[KeyPath] | None = None,
    ) -> None:
        """A mistake at ``offset`` of ``text``, which is written at ``path``."""
        if not self.broken.explains(path, relies_on):
            self.problems.append(self.document.source.problem_inside(path, text, offset, message, remedy))

    def secret(self, path: KeyPath, text: str) -> str:
        """``text`` with its references resolved; as it is after reporting why they cannot be."""
        try:
            return self.secrets.resolve(text)
        except BadValueError as error:
            self.report(path, error.message, error.remedy)
            return text

    def public(self, path: KeyPath, text: str) -> str | None:
        """``text`` with its references resolved, which are no secrets; None after reporting why not."""
        try:
            return self.secrets.resolve(text, hide=False).strip()
        except BadValueError as error:
            self.report(path, error.message, error.remedy)
            return None

    def only_referred(self, path: KeyPath, what: str, text: str, *, shortest: int = 1) -> str | None:
        """The secret that ``text``, a reference and nothing else, stands for; ``what`` names it in errors.
        None after reporting that it is none, cannot be had, or has less than ``shortest`` characters."""
        if REFERENCE.fullmatch(text.strip()) is None:
            self.report(
                path,
                f"{what} does not belong into this file.",
                "Put it into the environment and write ${NAME}, or into a file: ${file:/run/secrets/name}.",
            )
            return None
        secret = self.secret(path, text.strip())
        if secret == text.strip():
            return None
        if len(secret) < shortest:
            self.report(
                path,
                f"{what} has {len(secret)} characters, and needs at least {shortest}.",
                "Make one with `openssl rand -hex 32`.",
            )
            return None
        return secret

    def filled(self, path: KeyPath, text: str) -> Template:
        """The template at ``path`` with its references resolved; an empty one after reporting why not."""
        try:
            return Template(self.secret(path, text))
        except TemplateError:
            self.report(
                path, "The secret has braces in it, which no text with names can hold.", "Use another."
            )
            return Template("")

    def sendables(self, path: KeyPath, mapping: dict[str, str]) -> dict[str, str]:
        """The headers or variables at ``path`` with their references resolved; reports literal secrets."""
        for name in literal_secrets(mapping):
            self.report(
                (*path, name),
                f"The value of `{name}` looks like a secret, and secrets do not belong into this file.",
                "Put it into the environment and write ${NAME}, or into a file: ${file:/run/secrets/name}.",
            )
        return {name: self.secret((*path, name), text) for name, text in mapping.items()}

    def words(
        self,
        path: KeyPath,
        text: str,
        source: VariableSource,
        *,
        spoken: bool = True,
        secrets: bool = False,
    ) -> Template | None:
        """The template at ``path``, or None after reporting what is wrong with it.

        ``spoken``: it is used as it stands, so that a value that may be missing needs words in its place.
        ``secrets``: references to them may stand in it.
        """

        def wrong(offset: int, message: str, remedy: str) -> None:
            self.report_inside(path, text, offset, message, remedy)

        return self._template(text, source, spoken=spoken, secrets=secrets, wrong=wrong)

    def instructions(self, path: KeyPath, name: str, source: VariableSource) -> Template | None:
        """The template in the file called ``name``, which is written at ``path``."""
        file = self.folder / name
        text = self.text(path, name)
        if text is None:
            return None

        blank = len(text) - len(text.lstrip())

        def wrong(offset: int, message: str, remedy: str) -> None:
            line, column = line_and_column(text, blank + offset)
            self.problems.append(
                Problem(file=str(file), line=line, column=column, message=message, remedy=remedy)
            )

        return self._template(text.strip(), source, spoken=False, secrets=False, wrong=wrong)

    def _template(
        self, text: str, source: VariableSource, *, spoken: bool, secrets: bool, wrong: Wrong
    ) -> Template | None:
        if not secrets and (found := reference_in_words(text)) is not None:
            offset, reference = found
            words = "said aloud" if spoken else "told to the model"
            wrong(
                offset,
                f"`{reference}` would be {words} as it stands.",
                "Secrets belong into headers; a value to say is {{name}}, with `name:` below `variables:`.",
            )
            return None
        try:
            template = parse_template(text)
        except TemplateError as error:
            wrong(error.offset, error.message, error.remedy)
            return None
        problems = check_template(template, source, spoken=spoken)
        for problem in problems:
            name = next(each.name for each in template.placeholders if each.offset == problem.offset)
            if self.broken.explains((), variable_places(name)):
                continue
            wrong(problem.offset, problem.message, missing_remedy(name, source) or problem.remedy)
        return None if problems else template

    def text(self, path: KeyPath, name: str) -> str | None:
        """The text of the file called ``name``, or None after reporting why there is none at ``path``."""
        file = self.folder / name
        if file not in self._texts:
            try:
                self._texts[file] = self._read.read_text(file)
            except OSError as error:
                self.report(
                    path,
                    f"The file {file} cannot be read: {error.strerror}.",
                    "Paths begin at this file's folder.",
                )
                return None
            except UnicodeDecodeError:
                self.report(path, f"The file {file} is not UTF-8.", "Save it as UTF-8.")
                return None
        if not self._texts[file].strip():
            self.report(path, f"The file {file} is empty.", "Write the instructions into it.")
            return None
        return self._texts[file]


def variable_places(name: str) -> tuple[KeyPath, ...]:
    """Where the file would say what the variable ``name`` stands for."""
    first, _, rest = name.partition(".")
    match first:
        case "calendar":
            return (("calendars", rest.partition(".")[0]),)
        case "business":
            return (("business", rest),)
        case _:
            return (("variables", name), ("lookup", first))


def missing_remedy(name: str, source: VariableSource) -> str | None:
    """What to do about a variable that there would be, if the file said more; None for all others."""
    if source.knows(name):
        return None
    first, _, rest = name.partition(".")
    if first == "calendar":
        calendar, _, what = rest.partition(".")
        if calendar in source.calendars:
            return suggestion(what, ("open", "until", "reason"))
        if source.calendars:
            return f"Calendars are: {', '.join(sorted(source.calendars))}."
        return "Describe the calendar below `calendars:`."
    if first != "business" and closest(first, ("business",)) is None:
        return None
    meant = closest(name, (*source.known_names(), "business.name", "business.language"))
    if meant in ("business.name", "business.language") and meant not in source.known_names():
        key = meant.partition(".")[2]
        also = "" if meant == name else f"Did you mean `{meant}`? "
        return f"{also}Add `business: {{{key}: …}}` at the top of the file."
    return None
