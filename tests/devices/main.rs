//! Devices through a real box.
