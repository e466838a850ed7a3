//! What a simulated scale answers, protocol by protocol.

use super::{Model, Plate, Proof, ScaleSim};

/// The random number of the simulated demand: sums are turned left by 4, keys right by 7.
const CHALLENGE: u8 = 0x47;

impl ScaleSim {
    /// The answer to the command received so far; `None` while it is not whole.
    pub(super) fn take_command(&mut self) -> Option<Vec<u8>> {
        let input = self.input.clone();
        match self.model {
            Model::Toledo8217 => Some(self.toledo(input[0], false)),
            Model::Toledo8213 => Some(self.toledo(input[0], true)),
            Model::Nci => line(&input, b"\r").map(|command| self.nci(command)),
            Model::Sma => line(&input, b"\r").map(|command| self.sma(command)),
            Model::Sics => line(&input, b"\r\n").map(|command| self.sics(command)),
            Model::CasPos => Some(self.cas(input[0])),
            Model::And => line(&input, b"\r\n").map(|command| match command {
                b"Q" => self.stream_frame(),
                _ => b"?E\r\n".to_vec(),
            }),
            Model::Dialog06 => self.dialog(&input),
            Model::CasStream | Model::AndStream => Some(Vec::new()),
        }
    }

    fn toledo(&mut self, command: u8, is_8213: bool) -> Vec<u8> {
        let fixed = if is_8213 { 0x60 } else { 0 };
        let plate = &mut self.plate;
        let bits = u8::from(plate.moving)
            | u8::from(plate.over()) << 1
            | u8::from(plate.under()) << 2
            | u8::from(plate.net() == 0) << 4
            | u8::from(plate.tare != 0) << 5
            | fixed;
        let status = |bits: u8| vec![0x02, b'?', bits, 0x0D];
        match command {
            b'W' if bits & 0x07 != 0 || (plate.reported && plate.grams != 0) => {
                // "Nothing new" shows none of the error bits.
                status(bits)
            }
            b'W' => {
                plate.reported = true;
                let (grams, net) = (plate.net().max(0), plate.tare != 0);
                let number = if is_8213 {
                    format!("{:03}.{:02}", grams / 1000, grams % 1000 / 10)
                } else {
                    format!("{:02}.{:03}", grams / 1000, grams % 1000)
                };
                let flag: &[u8] = if net && !is_8213 { b"N" } else { b"" };
                [b"\x02", number.as_bytes(), flag, b"\r"].concat()
            }
            b'Z' if plate.grams.abs() > 300 => status(bits | 0x08),
            b'Z' => {
                plate.grams = 0;
                status(bits)
            }
            b'T' if !is_8213 => {
                plate.tare = plate.grams;
                status(bits | 0x20)
            }
            b'C' if !is_8213 => {
                plate.tare = 0;
                status(bits & !0x20)
            }
            _ => Vec::new(),
        }
    }

    fn nci(&mut self, command: &[u8]) -> Vec<u8> {
        let plate = &mut self.plate;
        let first = 0x30 | u8::from(plate.moving) | u8::from(plate.grams == 0) << 1;
        let second = 0x30 | u8::from(plate.under()) | u8::from(plate.over()) << 1;
        match command {
            b"Z" if plate.grams.abs() <= 300 => {
                plate.grams = 0;
                vec![0x0A, first, second, 0x0D, 0x03]
            }
            b"Z" => vec![0x0A, first, second | 0x40, 0x38, 0x0D, 0x03],
            b"W" if first & 0x01 != 0 || second & 0x03 != 0 => {
                vec![0x0A, first, second, 0x0D, 0x03]
            }
            b"W" => {
                let number = format!("{:02}.{:03}KG", plate.grams / 1000, plate.grams % 1000);
                [b"\n", number.as_bytes(), b"\r\n", &[first, second], b"\r\x03"].concat()
            }
            _ => b"\n?\r\x03".to_vec(),
        }
    }

    fn sma(&mut self, command: &[u8]) -> Vec<u8> {
        let plate = &mut self.plate;
        match command.strip_prefix(b"\n") {
            Some(b"W") => {}
            Some(b"Z") if plate.grams.abs() <= 300 => plate.grams = 0,
            Some(b"Z") => return sma_frame(plate, b'E'),
            Some(b"T") => plate.tare = plate.grams,
            Some(b"C") => plate.tare = 0,
            Some(_) | None => return b"\n?\r".to_vec(),
        }
        let status = match () {
            () if plate.over() => b'O',
            () if plate.under() => b'U',
            () if plate.grams == 0 => b'Z',
            () => b' ',
        };
        sma_frame(plate, status)
    }

    fn sics(&mut self, command: &[u8]) -> Vec<u8> {
        let plate = &mut self.plate;
        let number = |grams: i32| format!("{:>10} kg", kilograms(grams));
        let text = match command {
            b"S" | b"SI" if plate.over() => "S +".to_owned(),
            b"S" | b"SI" if plate.under() => "S -".to_owned(),
            b"S" if plate.moving => "S I".to_owned(),
            b"SI" if plate.moving => format!("S D {}", number(plate.net())),
            b"S" | b"SI" => format!("S S {}", number(plate.net())),
            b"Z" if plate.moving || plate.grams.abs() > 300 => "Z I".to_owned(),
            b"Z" => {
                plate.grams = 0;
                "Z A".to_owned()
            }
            b"T" if plate.moving => "T I".to_owned(),
            b"T" => {
                plate.tare = plate.grams;
                format!("T S {}", number(plate.tare))
            }
            b"TAC" => {
                plate.tare = 0;
                "TAC A".to_owned()
            }
            _ => "ES".to_owned(),
        };
        format!("{text}\r\n").into_bytes()
    }

    fn cas(&mut self, command: u8) -> Vec<u8> {
        match command {
            0x05 => vec![0x06],
            0x11 => [&[0x01][..], &cas_block(&self.cas_weight()), &[0x04]].concat(),
            0x12 => {
                let grams = u64::from(self.plate.grams.unsigned_abs());
                let amount = (grams * u64::from(Self::KEYED_PRICE) + 500) / 1000;
                let price = |minor: u64| format!("{:>5}.{:02}", minor / 100, minor % 100);
                let amount = cas_block(format!("{:>8}", price(amount)).as_bytes());
                let keyed = price(u64::from(Self::KEYED_PRICE));
                let keyed = cas_block(format!("{keyed:>8}").as_bytes());
                [&[0x01][..], &amount, &cas_block(&self.cas_weight()), &keyed, &[0x04]].concat()
            }
            _ => vec![0x15],
        }
    }

    fn cas_weight(&self) -> Vec<u8> {
        let plate = &self.plate;
        let state = if plate.moving { 'U' } else { 'S' };
        let sign = match () {
            () if plate.over() => 'F',
            () if plate.under() => '-',
            () => ' ',
        };
        let grams = plate.grams.abs().min(99_999);
        let number = format!("{:02}.{:03}", grams / 1000, grams % 1000);
        format!("{state}{sign}{number}kg").into_bytes()
    }

    /// What a streaming scale says now.
    pub(super) fn stream_frame(&self) -> Vec<u8> {
        let plate = &self.plate;
        let header = match () {
            () if plate.over() => "OL",
            () if plate.moving => "US",
            () => "ST",
        };
        let net = plate.net();
        if self.model == Model::CasStream {
            let kind = if plate.tare != 0 { "NT" } else { "GS" };
            return format!("{header},{kind},0@,{:>8} kg\r\n", kilograms(net)).into_bytes();
        }
        let sign = if net < 0 { '-' } else { '+' };
        let number = kilograms(net.abs());
        format!("{header},{sign}{number:0>8} kg\r\n").into_bytes()
    }

    fn dialog(&mut self, input: &[u8]) -> Option<Vec<u8>> {
        match input {
            [0x04, 0x05] => match self.proof {
                Proof::Given { valid } => {
                    self.proof = if valid { Proof::NotWanted } else { Proof::Wanted };
                    Some(format!("\x0211\x1b{}\x03", u8::from(valid)).into_bytes())
                }
                Proof::NotWanted | Proof::Wanted => Some(self.dialog_result()),
            },
            [0x04, 0x02, b'1', b'0', 0x1B, digits @ .., 0x03] => {
                self.proof = Proof::Given { valid: proves(digits) };
                Some(vec![0x06])
            }
            [0x04, 0x02, b'0', b'1' | b'3' | b'4' | b'5', 0x1B, .., 0x03]
                if self.proof != Proof::NotWanted =>
            {
                self.proof = Proof::Wanted;
                Some(format!("\x0211\x1b2{CHALLENGE:02X}\x03").into_bytes())
            }
            [0x04, 0x04] | [0x04, 0x02, .., 0x04] => {
                // A reset in the middle: the second EOT begins anew.
                self.input = vec![0x04];
                None
            }
            [0x04, 0x02, b'0', b'8', 0x03] => {
                let code = self.refused.take().unwrap_or(0);
                Some(format!("\x0209\x1b{code:02}\x03").into_bytes())
            }
            [0x04, 0x02, b'0', b'1' | b'3' | b'4' | b'5', 0x1B, rest @ .., 0x03] => {
                let digits = rest.split(|byte| *byte == 0x1B).next().unwrap_or_default();
                let price = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                self.unit_price = price;
                match price {
                    Some(1..) => Some(vec![0x06]),
                    Some(0) | None => {
                        self.refused = Some(11);
                        Some(vec![0x15])
                    }
                }
            }
            [0x04] | [0x04, 0x02, ..] => None,
            _ => Some(Vec::new()),
        }
    }

    fn dialog_result(&mut self) -> Vec<u8> {
        let plate = &self.plate;
        let refused = match self.unit_price {
            None => Some(22),
            Some(_) if plate.moving => Some(20),
            Some(_) if plate.under() => Some(31),
            Some(_) if plate.over() => Some(32),
            Some(_) if plate.grams < 20 => Some(30),
            Some(_) => None,
        };
        if refused.is_some() {
            self.refused = refused;
            return vec![0x15];
        }
        let price = u64::from(self.unit_price.take().unwrap_or(0));
        let grams = u64::from(plate.grams.unsigned_abs());
        let amount = (grams * price + 500) / 1000;
        format!("\x0202\x1b3\x1b{grams:05}\x1b{price:06}\x1b{amount:06}\x03").into_bytes()
    }
}

/// Whether one of the pairs, turned back, is the right one.
fn proves(digits: &[u8]) -> bool {
    let number = |digits: &[u8]| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let (left, right) = (u32::from(CHALLENGE >> 4), u32::from(CHALLENGE & 0x0F));
    digits.chunks_exact(8).any(|pair| {
        let (sum, key) = (number(&pair[..4]), number(&pair[4..]));
        let turned = |sum: u16, key: u16| (sum.rotate_right(left), key.rotate_left(right));
        sum.zip(key).is_some_and(|(sum, key)| turned(sum, key) == ScaleSim::PROOF)
    })
}

/// A block with its start, its check and its end.
fn cas_block(inner: &[u8]) -> Vec<u8> {
    let check = inner.iter().fold(0, |check, byte| check ^ byte);
    [&[0x02], inner, &[check, 0x03]].concat()
}

fn line<'a>(input: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    input.strip_suffix(end)
}

fn kilograms(grams: i32) -> String {
    let sign = if grams < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", grams.abs() / 1000, grams.abs() % 1000)
}

fn sma_frame(plate: &Plate, status: u8) -> Vec<u8> {
    let kind = if plate.tare != 0 { 'N' } else { 'G' };
    let motion = if plate.moving { 'M' } else { ' ' };
    let number = match status {
        b'E' | b'I' => "----------".to_owned(),
        _ => format!("{:>10}", kilograms(plate.net())),
    };
    format!("\n{}1{kind}{motion} {number}kg_\r", char::from(status)).into_bytes()
}
