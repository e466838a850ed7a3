//! Plain bytes before they are sealed: fields with their length before them, padded so that lengths say little.
//!
//! Reading is strict: what is read is exactly what [`Frame`] would have written, so that one meaning has one form.

use super::SealError;

/// Fields of a frame that is being read or written.
#[derive(Debug, Default)]
pub(super) struct Frame(Vec<u8>);

impl Frame {
    pub(super) fn field(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("limits keep frames far below 4 GB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.field(text.as_bytes())
    }

    pub(super) fn number(self, number: u64) -> Self {
        self.field(&number.to_be_bytes())
    }

    /// Pairs in the order given.
    pub(super) fn pairs(self, pairs: &[(String, String)]) -> Self {
        let count = self.number(pairs.len() as u64);
        pairs.iter().fold(count, |frame, (name, value)| frame.text(name).text(value))
    }

    /// Length of the fields, the fields, and zeros up to a multiple of `bucket`.
    pub(super) fn padded(self, bucket: usize) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("limits keep frames far below 4 GB");
        let mut out = Vec::with_capacity((self.0.len() + 4).next_multiple_of(bucket));
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.0);
        out.resize(out.len().next_multiple_of(bucket), 0);
        out
    }
}

/// Reads fields one after the other.
#[derive(Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of a padded frame; padding that is not zeros up to the bucket is refused.
    pub(super) fn of(padded: &'a [u8], bucket: usize) -> Result<Self, SealError> {
        let (length, rest) = padded.split_first_chunk().ok_or(SealError::Content("no length"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (fields, padding) =
            rest.split_at_checked(length).ok_or(SealError::Content("fields end early"))?;
        let whole = (length + 4).next_multiple_of(bucket) == padded.len();
        if !whole || padding.iter().any(|&byte| byte != 0) {
            return Err(SealError::Content("padding"));
        }
        Ok(Self(fields))
    }

    pub(super) fn field(&mut self) -> Result<&'a [u8], SealError> {
        let (length, rest) =
            self.0.split_first_chunk().ok_or(SealError::Content("a field is missing"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (field, rest) =
            rest.split_at_checked(length).ok_or(SealError::Content("a field ends early"))?;
        self.0 = rest;
        Ok(field)
    }

    pub(super) fn text(&mut self) -> Result<String, SealError> {
        let text = std::str::from_utf8(self.field()?);
        text.map(str::to_owned).map_err(|_| SealError::Content("text is not UTF-8"))
    }

    pub(super) fn number(&mut self) -> Result<u64, SealError> {
        let bytes = self.field()?.try_into().map_err(|_| SealError::Content("a number"))?;
        Ok(u64::from_be_bytes(bytes))
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, SealError> {
        T::try_from(self.number()?).map_err(|_| SealError::Content("a number is out of range"))
    }

    pub(super) fn pairs(&mut self, max: usize) -> Result<Vec<(String, String)>, SealError> {
        let count: usize = self.small()?;
        if count > max {
            return Err(SealError::Content("too many pairs"));
        }
        (0..count).map(|_| Ok((self.text()?, self.text()?))).collect()
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), SealError> {
        if self.0.is_empty() { Ok(()) } else { Err(SealError::Content("a field too many")) }
    }
}
