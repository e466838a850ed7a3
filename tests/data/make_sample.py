"""Cut the committed sample out of the whole data set: one shop of the chain and all that its tickets need.

The sample holds every ticket of one store whose products the catalogue has and prices, the products and
households on them, further products up to PRODUCTS_MIN, and of every other model the rows that refer only to
what is in the sample.
The same input gives the same files (with the same zstd).

usage: make_sample.py INPUT_DIR [OUTPUT_DIR]     (needs the program zstd)
"""

import json
import subprocess
import sys
from pathlib import Path

STORE = "367"
"""The store with the most tickets."""
PRODUCTS_MIN = 9000
"""Products that nobody bought fill the shelves up to this number."""
CHANGE_WEEKS = range(2, 15)
"""Weeks whose price changes are kept."""
BYTES_MAX = 1_000_000
"""The whole sample, compressed."""

WHOLE = ["BPCategory", "PriceList", "ProductCategory", "ProductCategoryTree", "TaxCategory", "TaxRate"]


def read(folder, name):
    """The records of one file."""
    packed = folder / f"{name}.ndjson.zst"
    text = subprocess.run(["zstd", "-dcq", packed], check=True, capture_output=True).stdout
    return [json.loads(line) for line in text.decode().splitlines()]


def write(folder, name, records):
    """Writes one file and returns its size."""
    lines = (json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in records)
    packed = folder / f"{name}.ndjson.zst"
    text = "".join(lines).encode()
    subprocess.run(["zstd", "-19q", "--no-check", "-f", "-o", packed], check=True, input=text)
    print(f"{name:<30} {len(records):>7} records {packed.stat().st_size:>8} bytes")
    return packed.stat().st_size


def once(records):
    """Each id once; the source repeats some of its coupons."""
    return list({record["id"]: record for record in records}.values())


def choose_products(products, wanted):
    """The wanted ones, and evenly spread others up to PRODUCTS_MIN."""
    others = [p["id"] for p in products if p["id"] not in wanted]
    missing = max(0, PRODUCTS_MIN - len(wanted))
    step = max(1, len(others) // max(1, missing))
    return wanted | set(others[::step][:missing])


def main(source, target):
    """Reads, chooses, writes and checks the size."""
    products = read(source, "Product")
    priced = {p["productId"] for p in read(source, "ProductPrice")}
    known = {p["id"] for p in products} & priced
    tickets = [t for t in read(source, "tickets") if t["storeId"] == STORE]
    tickets = [t for t in tickets if all(line["productId"] in known for line in t["lines"])]
    sold = {line["productId"] for t in tickets for line in t["lines"]}
    partners = {t["businessPartnerId"] for t in tickets}
    ids = choose_products(products, sold)
    products = [p for p in products if p["id"] in ids]
    brands = {p["brandId"] for p in products if "brandId" in p}
    rows = {name: read(source, name) for name in WHOLE}
    rows["Product"] = products
    rows["Brand"] = [b for b in read(source, "Brand") if b["id"] in brands]
    rows["ProductPrice"] = [p for p in read(source, "ProductPrice") if p["productId"] in ids]
    rows["BusinessPartner"] = [b for b in read(source, "BusinessPartner") if b["id"] in partners]
    rows["Discount"] = read(source, "Discount")
    rows["DiscountFilterProduct"] = [
        d for d in read(source, "DiscountFilterProduct") if d["productId"] in ids
    ]
    rows["DiscountFilterBusinessPartner"] = [
        d for d in read(source, "DiscountFilterBusinessPartner") if d["businessPartnerId"] in partners
    ]
    rows = {name: once(records) for name, records in rows.items()}
    rows["changes"] = [
        c
        for c in read(source, "changes")
        if c["week"] in CHANGE_WEEKS and c["record"]["productId"] in ids
    ]
    rows["tickets"] = tickets
    assert sold <= {p["id"] for p in rows["Product"]}, "every product on a ticket is in the sample"
    assert partners == {b["id"] for b in rows["BusinessPartner"]}, "every customer is in the sample"
    target.mkdir(parents=True, exist_ok=True)
    total = sum(write(target, name, records) for name, records in sorted(rows.items()))
    print(f"{'all':<30} {total:>24} bytes")
    assert total <= BYTES_MAX, "the sample stays small"


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    beside = Path(__file__).parent / "complete-journey"
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else beside)
