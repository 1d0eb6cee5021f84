"""Write one line for each text: its language and its number of words."""

from pathlib import Path

rows = [(Path(name).stem, Path(name).read_text().strip()) for name in snakemake.input]
Path(snakemake.output[0]).write_text("".join(f"{name}\t{number}\n" for name, number in rows))
