"""Lines reached, file by file, from an lcov file: coverage.py FILE PERCENT PATTERN. Fails below PERCENT for any file
under src/ whose path matches PATTERN; files that hold nothing but tests are left out."""

import re
import sys

path, least, pattern = sys.argv[1], float(sys.argv[2]), re.compile(sys.argv[3])
reached = {}
with open(path, encoding="utf-8") as report:
    for line in report:
        line = line.strip()
        if line.startswith("SF:"):
            name = line[3:].rpartition("/src/")[2]
            lines = reached.setdefault(name, {})
        elif line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            lines[int(number)] = max(lines.get(int(number), 0), int(count))
low = []
for name, lines in sorted(reached.items()):
    if "/tests" in name or not pattern.search(name) or not lines:
        continue
    percent = 100 * sum(count > 0 for count in lines.values()) / len(lines)
    print(f"{percent:6.2f} %  {name}")
    if percent < least:
        missed = ", ".join(str(number) for number, count in sorted(lines.items()) if count == 0)
        low.append(f"{name}: {percent:.2f} % of the lines are reached; not {missed}")
print(*low, sep="\n")
sys.exit(bool(low))
