// Lays out documents: node layout.cjs <folder of receiptline>, [[document, columns, encoding], ...] as JSON in, texts out.
const { readFileSync } = require("node:fs");
const { transform } = require(process.argv[2]);

const texts = JSON.parse(readFileSync(0, "utf8")).map(([document, cpl, encoding]) =>
  transform(document, { cpl, encoding, command: "text" }),
);
process.stdout.write(JSON.stringify(texts));
