//! Numbers as a technician reads them.

/// A size as it is printed on the stick: powers of ten, three digits.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    let Some((unit, word)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} bytes");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    if tenths < 100 {
        return format!("{}.{} {word}", tenths / 10, tenths % 10);
    }
    format!("{} {word}", tenths / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_like_the_label_on_the_stick() {
        let sizes = [0, 999, 1000, 31_914_983_424, 4_000_000_000, u64::MAX].map(size);
        assert_eq!(sizes, ["0 bytes", "999 bytes", "1.0 kB", "31 GB", "4.0 GB", "18446744 TB"]);
    }
}
