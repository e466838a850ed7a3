// Lays out documents: node layout.cjs <folder of receiptline>, [[document, columns, encoding, command], ...] as JSON in,
// what comes of each out; without a command that is its text.
const { readFileSync } = require("node:fs");
const { transform } = require(process.argv[2]);

const texts = JSON.parse(readFileSync(0, "utf8")).map(([document, cpl, encoding, command = "text"]) =>
  transform(document, { cpl, encoding, command }),
);
process.stdout.write(JSON.stringify(texts));
