#!/usr/bin/env python3
"""Checks what users read: words, links with their anchors, and the length of lines. Run by `make lint`.

Pages, chart and samples are the files of FILES. Help, conditions, Events and log messages are the string literals of
the program with more than one word, and the comments on its flags. Of the tests in `tests/` such literals are checked
too, all comments and the names of functions.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORDS = "docs/words.txt"
LONGEST = 120
EXCEPTIONS_MAX = 10
FILES = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "Makefile",
    ".ci/run",
    "docs/**/*.md",
    "deploy/chart/README.md",
    "deploy/chart/README.md.gotmpl",
    "deploy/chart/Chart.yaml",
    "deploy/chart/values.yaml",
    "deploy/chart/templates/*",
    "deploy/gitops/*/*",
    "deploy/policies/*",
    "deploy/samples/*",
    "deploy/*.yaml",
    "crds/*.yaml",
]
# Files whose comments are the text of --help, from the line that contains this text on.
HELP = {
    "src/operator/src/cli/flags.rs": "enum Verb",
    "src/kubectl/src/cli.rs": "use crate::validate",
    "src/kubectl/src/cli/account.rs": "struct Account",
    "src/kubectl/src/cli/plan.rs": "const USERS_MAX",
}
# Rendered from other files, or with an e-mail, a URL or a rule that cannot be broken.
LINES_NOT_MEASURED = ("crds/", "deploy/", "Makefile")


def rules():
    """Returns the words, and the exceptions as pairs of file and phrase."""
    words, exceptions, found = [], [], None
    for line in (ROOT / WORDS).read_text().splitlines():
        if line == "exceptions:":
            found = exceptions
        elif line and not line.startswith("#"):
            if found is None:
                words.append(line)
                continue
            match = re.fullmatch(r"(\S+): (.+) # (.+)", line)
            if not match:
                sys.exit(f"{WORDS}: not FILE: PHRASE # REASON: {line}")
            exceptions.append((match[1], match[2]))
    if len(exceptions) > EXCEPTIONS_MAX:
        sys.exit(f"{WORDS}: {len(exceptions)} exceptions, at most {EXCEPTIONS_MAX}")
    return words, exceptions


def files():
    """Returns all files to be checked, without folders."""
    found = {path for pattern in FILES for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(found)


def newest_section(text):
    """Returns a changelog up to the second version, with as many lines before it."""
    heads = [match.start() for match in re.finditer(r"^## \[", text, re.M)]
    return text[: heads[1]] if len(heads) > 1 else text


def lines(path, text):
    """Yields number, line, whether it is code or generated, and whether it is a command."""
    fence, generated = None, False
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"<!-- (end of )?(figures|micro) -->", line):
            generated = "end of" not in line
        mark = re.match(r"\s*```(\w*)", line) if path.suffix == ".md" else None
        if mark:
            fence = mark[1] or "output" if fence is None else None
            yield number, "", True, True
            continue
        yield number, line, fence is not None or generated, fence == "sh"


def words_in(line, pattern):
    """Returns the words of the list in a line, but for code in back-ticks and the targets of links."""
    line = re.sub(r"`[^`]*`", "``", line)
    line = re.sub(r"\]\([^)]*\)", "]", line)
    return pattern.findall(line)


def anchors(text):
    """Returns the anchors that GitHub makes of the headings of a page."""
    seen, found = {}, set()
    in_code = False
    for line in text.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        match = None if in_code else re.match(r"#+ +(.*?)\s*$", line)
        if not match:
            continue
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def broken_links(path, text):
    """Yields the links of a page that lead to no file or no heading."""
    prose = "\n".join("" if code else line for _, line, code, _ in lines(path, text))
    prose = re.sub(r"`[^`\n]*`", "", prose)
    for target in re.findall(r"\]\(\s*<?([^)>\s]+)>?\s*\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists():
            yield f"no such file: {target}"
        elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text()):
            yield f"no such heading: {target}"


def messages(path, text):
    """Yields number and text of what the program may print: literals outside comments, attributes and tests."""
    text = re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", text)[0]
    begin = HELP.get(path.relative_to(ROOT).as_posix())
    flags = False
    for number, line in enumerate(text.splitlines(), 1):
        flags = begin is not None and (flags or begin in line)
        if flags and re.match(r"\s*///", line):
            yield number, line
    yield from literals(text)


def literals(text):
    """Yields number and text of the string literals with more than one word, outside comments and attributes."""
    # Comments stay as long as they are, so that positions hold; a quote character is no beginning of a literal.
    text = re.sub(r"(?m)^\s*//.*$", lambda comment: " " * len(comment[0]), text).replace("'\"'", "' '")
    for match in re.finditer(r'"((?:[^"\\]|\\.)*)"', text, re.S):
        before = text[: match.start()]
        if " " in match[1].strip() and not before.endswith("reason = "):
            yield before.count("\n") + 1, re.sub(r"\\\n\s*", "", match[1])


def of_tests(text):
    """Yields number and text of the comments, literals and names of functions of a test."""
    yield from literals(text)
    for number, line in enumerate(text.splitlines(), 1):
        if comment := re.match(r"\s*//[/!]?(.*)", line):
            yield number, comment[1]
        elif name := re.search(r"\bfn (\w+)", line):
            yield number, name[1].replace("_", " ")


def program():
    """Returns the sources of the program without its tests."""
    found = [path for path in (ROOT / "src").rglob("*.rs") if not re.search(r"/(tests|fuzz)\b", path.as_posix())]
    return sorted(found)


def tests():
    """Returns the sources of the tests but for the one that lists words."""
    found = [path for path in (ROOT / "tests").rglob("*.rs") if path != ROOT / "tests/names.rs"]
    return sorted(path for path in found if "target" not in path.parts)


def main():
    words, exceptions = rules()
    pattern = re.compile(r"\b(?:" + "|".join(re.escape(word) for word in words) + r")\b", re.I)
    used, wrong = set(), []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text()
        if name == "CHANGELOG.md":
            text = newest_section(text)
        for number, line, is_code, is_shell in lines(path, text):
            allowed = [phrase for file, phrase in exceptions if file == name and phrase in line]
            used.update((name, phrase) for phrase in allowed)
            checked = line
            for phrase in allowed:
                checked = checked.replace(phrase, "")
            if not is_shell:
                wrong += [f"{name}:{number}: the word {word!r}" for word in words_in(checked, pattern)]
            is_table = line.startswith("|") or (is_code and path.suffix == ".md")
            if len(line) > LONGEST and not is_table and not name.startswith(LINES_NOT_MEASURED):
                wrong.append(f"{name}:{number}: {len(line)} characters, at most {LONGEST}")
        if path.suffix == ".md":
            wrong += [f"{name}: {problem}" for problem in broken_links(path, text)]
    wrong += [f"{WORDS}: not needed: {file}: {phrase}" for file, phrase in exceptions if (file, phrase) not in used]
    texts = [(path, messages(path, path.read_text())) for path in program()]
    texts += [(path, of_tests(path.read_text())) for path in tests()]
    for path, found in texts:
        for number, message in found:
            where = f"{path.relative_to(ROOT)}:{number}"
            wrong += [f"{where}: the word {word!r}: {message}" for word in words_in(message, pattern)]
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
