FILESEXTRAPATHS:prepend:storeboxos := "${THISDIR}/files:"
SRC_URI:append:storeboxos = " file://storebox.cfg"
