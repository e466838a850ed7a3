"""One page: tables with ratios, medians and spreads, and plots as SVG."""
import os
import statistics

COLOURS = ["#1f6f4a", "#b5532a", "#39598c", "#8a6d1b", "#777777"]


def machine(folder):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = int(open("/proc/meminfo").readline().split()[1]) >> 20
    load = open("/proc/loadavg").read().split()[0]
    return f"{os.cpu_count()} cores of {cpu}, {memory} GB, Linux {os.uname().release}, load {load} at the start"


def median(values):
    return statistics.median(values)


def spread(values):
    return f"{min(values):,.0f}–{max(values):,.0f}"


def rates(title, sides):
    ours = median([one["rate"] for one in sides["Storebox"]])
    lines = [f"| {title} | a second, median | least–most | Storebox is | median µs | 99 % within µs |", "|---|---|---|---|---|---|"]
    for name, rounds in sides.items():
        rate = [one["rate"] for one in rounds]
        ratio = "" if name == "Storebox" else f"{ours / median(rate):.2f} ×"
        lines.append(f"| {name} | {median(rate):,.0f} | {spread(rate)} | {ratio} | "
                     f"{median([one['median_us'] for one in rounds]):,.0f} | {median([one['p99_us'] for one in rounds]):,.0f} |")
    return lines


def bars(title, groups, unit):
    """Groups of bars: {group: {name: value}}."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    height, top = 22, 48 + 18 * len(names)
    most = max(value for group in groups.values() for value in group.values()) or 1
    rows, at = [], top
    for group, values in groups.items():
        rows.append(f'<text x="8" y="{at + 14}" font-weight="bold">{group}</text>')
        at += height
        for name in names:
            if name not in values:
                continue
            width = 470 * values[name] / most
            rows.append(f'<rect x="110" y="{at}" width="{width:.1f}" height="16" fill="{COLOURS[names.index(name) % 5]}"/>'
                        f'<text x="{116 + width:.1f}" y="{at + 13}">{values[name]:,.4g} {unit}</text>')
            at += height
        at += 6
    legend = "".join(f'<rect x="8" y="{36 + 18 * row}" width="12" height="12" fill="{COLOURS[row % 5]}"/>'
                     f'<text x="26" y="{47 + 18 * row}">{name}</text>' for row, name in enumerate(names))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{at + 8}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/><text x="8" y="20" font-size="15">{title}</text>{legend}{"".join(rows)}</svg>\n')


def write(results, target):
    plots = os.path.splitext(target)[0]
    os.makedirs(plots, exist_ok=True)
    by_producers, tills, memory = results["accepts"]
    built, searches = results["replicas"]
    ready, sizes = results["starts"]
    name = os.path.basename(plots)

    def plot(file, title, groups, unit):
        with open(f"{plots}/{file}.svg", "w") as out:
            out.write(bars(title, groups, unit))
        return ["", f"![{title}]({name}/{file}.svg)", ""]

    rate = lambda sides: {name: median([one["rate"] for one in rounds]) for name, rounds in sides.items()}
    lines = ["# Benchmarks", "",
             "Storebox beside what a user would pick instead, on the same data and machine, in one run of `tests/benchmarks`.",
             "Each pair is measured in turns; what is told is the median of the rounds and their least and most.",
             f"This run: {results['machine']}; it took {results['took_s']:.0f} s{' in its short form' if results['short'] else ''}.", ""]
    lines += ["## Product by barcode over HTTP", "",
              "wrk with 16 connections, the same bytes from the box's replica and from files of nginx, load and server on the same cores.",
              "The last row is what our HTTP library answers with one product from memory and nothing behind it: no lookup, no token, no limit.", ""]
    lines += rates("", results["barcode"])
    lines += plot("barcode", "Product by barcode, 16 connections", {"HTTP": rate(results["barcode"])}, "a second")
    told = " and ".join(f"{what} takes {micros:.0f} µs" for what, micros in results["floors"].items())
    lines += ["## Durable before the answer", "",
              "A ticket of about a kilobyte; the next one when the last is confirmed.",
              "One client program speaks all protocols.",
              "The last row takes the same requests with our HTTP library, appends their bytes to one file, and flushes once for all who wait: it reads, checks, orders and signs nothing.",
              f"In the median {told}.", ""]
    for producers, sides in by_producers.items():
        lines += rates(f"{producers} producers" if producers > 1 else "1 producer", sides) + [""]
    if not any("NATS" in one for one in by_producers[1]):
        lines += ["NATS is missing: the version of this Debian does not know `sync_interval: always` (2.10 does).", ""]
    lines += plot("accepts", "Durable before the answer", {f"{count}": rate(sides) for count, sides in by_producers.items()}, "a second")
    lines += ["| tills of one box | transactions a second | median µs | 99 % within µs |", "|---|---|---|---|"]
    for count, rounds in tills.items():
        lines.append(f"| {count} | {median([o['rate'] for o in rounds]):,.0f} | {median([o['median_us'] for o in rounds]):,.0f} | {median([o['p99_us'] for o in rounds]):,.0f} |")
    lines += plot("tills", "Growth with tills", {f"{count}": {"Storebox": median([o["rate"] for o in rounds])} for count, rounds in tills.items()}, "a second")
    lines += ["## Replica with three indexes", "", "| records | | seconds, median | least–most | MB | Storebox is |", "|---|---|---|---|---|---|"]
    for count, sides in built.items():
        ours = median([one[0] for one in sides["Storebox"]])
        for side, rounds in sides.items():
            times = [one[0] for one in rounds]
            ratio = "" if side == "Storebox" else f"{median(times) / ours:.1f} × as fast"
            lines.append(f"| {count:,} | {side} | {median(times):.2f} | {min(times):.2f}–{max(times):.2f} | {rounds[0][1]:,.0f} | {ratio} |")
    lines += plot("replica", "Replica built, with three indexes", {f"{count:,}": {side: median([one[0] for one in rounds]) for side, rounds in sides.items()} for count, sides in built.items()}, "s")
    lines += ["Twenty products of 100,000 by the start of a name, one connection, Storebox over HTTP, PostgreSQL by a prepared statement:", ""]
    lines += rates("", searches) + [""]
    lines += ["## Growth with records", "",
              "A server that imports all of them as JSON lines, written by this program in the same time, and serves them; then lookups by barcode over 4 connections.", "",
              "| records | written, imported and served, s | MB of memory | lookups a second, median | median µs | 99 % within µs |", "|---|---|---|---|---|---|"]
    for count, one in results["growth"].items():
        rounds = one["rounds"]
        lines.append(f"| {count:,} | {one['took_s']:.1f} | {one['memory']:.0f} | {median([o['rate'] for o in rounds]):,.0f} | "
                     f"{median([o['median_us'] for o in rounds]):,.1f} | {median([o['p99_us'] for o in rounds]):,.0f} |")
    lines += plot("growth", "Lookups by the number of records", {f"{count:,}": {"Storebox": median([o["rate"] for o in one["rounds"]])} for count, one in results["growth"].items()}, "a second")
    lines += ["## Size, memory, start", "", "| | program, MB | after the durable rounds, MB of memory | from start to first answer, ms: median, least–most |", "|---|---|---|---|"]
    for side in sizes:
        times = [value * 1000 for value in ready.get(side, [])]
        told = f"{median(times):.0f}, {spread(times)}" if times else ""
        used = f"{memory[side]:.0f}" if side in memory else ""
        lines.append(f"| {side} | {sizes[side]:.1f} | {used} | {told} |")
    lines += ["", "Memory is what a server and its processes have resident, shared pages counted by their share.",
              "A store takes transactions here with nowhere to send them, so all of them wait in its outbox, and their keys are in its memory.", ""]
    with open(target, "w") as out:
        out.write("\n".join(lines))
