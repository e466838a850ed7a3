"""Prints a receipt with python-escpos and says what the printer answered: client.py <port>."""

import sys

from escpos.printer import Network
from PIL import Image

printer = Network("127.0.0.1", port=int(sys.argv[1]), profile="TM-T88V", timeout=20)
print("online", printer.is_online())
print("paper", printer.paper_status())
printer.set(align="center", bold=True, double_height=True, double_width=True)
printer.text("STOREBOX\n")
printer.set_with_default()
printer.text("Café Größe Łódź Привет\n")
printer.text("12345678901234567890123456789012345678901234567890\n")
printer.barcode("4006381333931", "EAN13", 64, 2, "BELOW", "A")
printer.qr("https://example.org/r/42", size=6)
picture = Image.new("1", (200, 40), 1)
for x in range(200):
    picture.putpixel((x, x % 40), 0)
printer.image(picture, impl="bitImageRaster")
printer.text("as columns\n")
printer.image(picture, impl="bitImageColumn")
printer.text("as graphics\n")
printer.image(picture, impl="graphics")
printer.text("after the pictures\n")
printer.cashdraw(2)
printer.cut()
printer.close()
