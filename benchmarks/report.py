"""The figures of `bench.py` as Markdown tables and a plot."""

import json
import pathlib
import statistics
import subprocess

from ways import BLOCK_ROWS, WINDOW

# What all speeds are multiples of.
BASE = "model.predict"
CROPPED, STRIDE = 1024, 32
MARKS = "<!-- measured -->\n", "<!-- end of measured -->\n"


def medians(times: dict) -> dict[str, float]:
    return {way: statistics.median(values) for way, values in times["seconds"].items()}


def rounds_of(times: dict) -> int:
    return len(next(iter(times["seconds"].values())))


def speed_table(figures: dict) -> list[str]:
    sides = list(figures["times"])
    lines = [f"| | {' | '.join(f'{side} x {side}' for side in sides)} |", "|---" * (len(sides) + 1) + "|"]
    for way in figures["times"][str(CROPPED)]["seconds"]:
        cells = []
        for side in sides:
            seconds = medians(figures["times"][side])
            cells.append(f"{seconds[way]:.2f} s, **{seconds[BASE] / seconds[way]:.2f}**" if way in seconds else "")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def crops_table(figures: dict) -> list[str]:
    times = figures["times"][str(CROPPED)]
    seconds = medians(times)
    count = ((CROPPED - WINDOW) // STRIDE + 1) ** 2
    ours = [way for way in seconds if way.startswith("vggfcn") and "streamed" not in way]
    lines = [f"| | seconds | {' | '.join(f'of {way}' for way in (BASE, *ours))} |", "|---" * (len(ours) + 3) + "|"]
    for at_once, values in times["one crop"].items():
        whole = statistics.median(values) * count
        ratios = " | ".join(f"**{whole / seconds[way]:.1f}**" for way in (BASE, *ours))
        lines.append(
            f"| {count} crops, {'one by one' if int(at_once) == 1 else f'{at_once} at once'} | {whole:.1f} | {ratios} |"
        )
    return lines


def large_table(figures: dict) -> list[str]:
    large = figures["large"]
    seconds = medians(large)
    whole = seconds[next(iter(seconds))]
    lines = ["| | seconds | of the whole image's | peak memory, GB |", "|---|---|---|---|"]
    for way, value in seconds.items():
        lines.append(f"| {way} | {value:.1f} | **{value / whole:.2f}** | {large['bytes'][way] / 1e9:.2f} |")
    return lines


def starts_table(figures: dict) -> list[str]:
    lines = [
        "| | imports, s | build, s | make ready, s | first 224 x 224, s | in all, s | peak memory, GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, row in figures["starts"].items():
        parts = [row[name] for name in ("imports", "build", "ready", "first")]
        name = "VGG16 on a crop" if way == "crops" else way
        lines.append(
            f"| {name} | {' | '.join(f'{part:.2f}' for part in parts)} | {sum(parts):.2f} | {row['bytes'] / 1e9:.2f} |"
        )
    return lines


def markdown(figures: dict) -> str:
    """All tables, with what they were measured on."""
    rounds = ", ".join(map(str, map(rounds_of, figures["times"].values())))
    loads = ", ".join(f"{times['load']:.1f}" for times in figures["times"].values())
    described = ", ".join(f"{name} {value}" for name, value in figures["machine"].items() if name != "processor")
    worst = max(
        difference / times["largest logit"]
        for times in figures["times"].values()
        for difference in times["difference"].values()
    )
    sections = [
        f"{figures['machine']['processor']}; {described}.",
        f"Seconds for an image, medians of {rounds} rounds; in bold, how many times as fast as `{BASE}`. Streams take "
        f"{BLOCK_ROWS} rows at once. Logits differ by at most {worst:.1e} of the largest. Load of the machine at the "
        f"end of each size: {loads}.",
        "\n".join(speed_table(figures)),
        "![Times as fast as model.predict](speed.png)",
        f"The map of the {CROPPED} x {CROPPED} image against its windows, run as crops by "
        "`keras.applications.VGG16.predict`:",
        "\n".join(crops_table(figures)),
        f"{figures['large']['side']} x {figures['large']['side']} pixels, whole and streamed; medians of "
        f"{rounds_of(figures['large'])} rounds, preparation included. The logits differ by "
        f"{figures['large']['difference']:.1g}, where the largest is {figures['large']['largest logit']:.1f}:",
        "\n".join(large_table(figures)),
        f"Fresh processes, medians of {figures['starts of each']}. The peak is that of the whole process after it has "
        f"also run one image of {CROPPED} x {CROPPED}:",
        "\n".join(starts_table(figures)),
    ]
    return "\n\n".join(sections) + "\n"


PLOT = """
import json, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
(labels, rows), path = json.loads(sys.argv[1]), sys.argv[2]
figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
axes.set_prop_cycle(color=["black", *plt.get_cmap("tab10").colors])  # one for each of eleven ways
for name, sides, ratios in rows:
    ours = name.startswith("vggfcn")
    style, marker = ("--", "s") if "streamed" in name else ("-", "o")
    axes.plot(sides, ratios, style, marker=marker, linewidth=2.5 if ours else 1.2, label=name)
axes.set_xticks(range(len(labels)), labels)
axes.set_xlabel("side of the image, pixels")
axes.set_ylabel("times as fast as model.predict")
axes.set_ylim(bottom=0)
axes.grid(alpha=0.3)
axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
figure.savefig(path, dpi=110)
"""


def plot(figures: dict, path: pathlib.Path, python: str) -> None:
    """With the Matplotlib that `python` has."""
    sides = list(figures["times"])
    by_side = {side: medians(figures["times"][side]) for side in sides}
    rows = []
    for way in by_side[str(CROPPED)]:
        places = [place for place, side in enumerate(sides) if way in by_side[side]]
        rows.append((way, places, [by_side[sides[place]][BASE] / by_side[sides[place]][way] for place in places]))
    subprocess.run([python, "-c", PLOT, json.dumps([sides, rows]), str(path)], check=True)


def insert(text: str, page: pathlib.Path) -> None:
    """Put the text between the page's marks."""
    before, _, rest = page.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    page.write_text(before + MARKS[0] + text + MARKS[1] + after)
