//! One scan: the codes of one component, or of several in turns.

use super::bits::{Bits, Table};
use super::{Component, Frame, Result, State, ZIGZAG, idct};

/// Which coefficients a scan holds, and which of their bits (T.81, annex G).
struct Band {
    first: usize,
    last: usize,
    /// Bits that earlier scans left open; 0 if this is the first.
    high: u8,
    /// Bits that this scan leaves open.
    low: u8,
}

/// A component's part in a scan.
struct Part<'a> {
    index: usize,
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
    /// The brightness of the block before.
    before: i32,
}

impl State {
    /// Reads a scan, and says how many of its bytes were read.
    pub(super) fn scan(&mut self, head: &[u8], bytes: &[u8]) -> Result<usize> {
        let frame = self.frame.as_mut().ok_or("a scan comes before the frame")?;
        let count = usize::from(*head.first().unwrap_or(&0));
        let (Some(list), Some(&[first, last, bits])) =
            (head.get(1..1 + 2 * count), head.get(1 + 2 * count..4 + 2 * count).and_then(<[u8]>::first_chunk))
        else {
            return Err("a scan's header is too short".to_owned());
        };
        let band = match frame.progressive {
            true => Band { first: first.into(), last: last.into(), high: bits >> 4, low: bits & 15 },
            false => Band { first: 0, last: 63, high: 0, low: 0 },
        };
        let only_dc = frame.progressive && band.first == 0;
        let fits = match only_dc {
            true => band.last == 0,
            false => !frame.progressive || (band.first <= band.last && band.last < 64 && count == 1),
        };
        if !fits || band.low > 13 || !(1..=frame.components.len()).contains(&count) {
            return Err(format!("a scan of {count} components for coefficients {first} to {last} cannot be"));
        }
        let mut parts: Vec<Part> = Vec::with_capacity(count);
        for pair in list.chunks_exact(2) {
            let Some(index) = frame.components.iter().position(|c| c.id == pair[0]) else {
                return Err(format!("a scan names component {}, which the frame does not have", pair[0]));
            };
            let component = &mut frame.components[index];
            if parts.iter().any(|p| p.index == index) || (!frame.progressive && component.latched.is_some()) {
                return Err(format!("component {} is scanned twice", pair[0]));
            }
            if component.latched.is_none() {
                component.latched = Some(self.factors[component.factors].ok_or("a table of factors is missing")?);
            }
            let dc = self.dc.get(usize::from(pair[1] >> 4)).and_then(Option::as_ref);
            let ac = self.ac.get(usize::from(pair[1] & 15)).and_then(Option::as_ref);
            let needs_dc = band.first == 0 && band.high == 0;
            if (needs_dc && dc.is_none()) || (band.last > 0 && ac.is_none()) {
                return Err("a table of codes is missing".to_owned());
            }
            parts.push(Part { index, dc, ac, before: 0 });
        }
        Walk { band, bits: Bits::new(bytes), run: 0, restart: self.restart }.over(frame, &mut parts)
    }
}

struct Walk<'a> {
    band: Band,
    bits: Bits<'a>,
    /// Blocks still to come in which nothing new begins.
    run: u32,
    restart: usize,
}

impl Walk<'_> {
    fn over(mut self, frame: &mut Frame, parts: &mut [Part]) -> Result<usize> {
        // A component alone has no fillers.
        let (across, down) = match parts {
            [part] => {
                let component = &frame.components[part.index];
                (component.width.div_ceil(8), component.height.div_ceil(8))
            }
            _ => frame.units(),
        };
        for unit in 0..across * down {
            if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                self.bits.restart(unit / self.restart - 1)?;
                self.run = 0;
                parts.iter_mut().for_each(|part| part.before = 0);
            }
            let (x, y) = (unit % across, unit / across);
            if let [part] = parts {
                self.block(&mut frame.components[part.index], frame.progressive, part, x, y)?;
                continue;
            }
            for part in &mut *parts {
                let component = &mut frame.components[part.index];
                let (h, v) = (component.h, component.v);
                for i in 0..h * v {
                    self.block(component, frame.progressive, part, x * h + i % h, y * v + i / h)?;
                }
            }
        }
        Ok(self.bits.at)
    }

    fn block(
        &mut self,
        component: &mut Component,
        progressive: bool,
        part: &mut Part,
        x: usize,
        y: usize,
    ) -> Result<()> {
        if !progressive {
            let mut block = [0; 64];
            self.dc(&mut block, part)?;
            self.ac(&mut block, part, 1)?;
            let stride = component.across * 8;
            let factors = component.latched.as_ref().ok_or("a table of factors is missing")?;
            idct::block(&block, factors, &mut component.samples[y * 8 * stride + x * 8..], stride);
            return Ok(());
        }
        let at = (y * component.across + x) * 64;
        let block: &mut [i16; 64] = (&mut component.coefficients[at..at + 64]).try_into().map_err(|_| "no block")?;
        match (self.band.first, self.band.high) {
            (0, 0) => self.dc(block, part),
            (0, _) => {
                block[0] |= (self.bits.take(1)? as i16) << self.band.low;
                Ok(())
            }
            (first, 0) => self.ac(block, part, first),
            _ => self.refine(block, part),
        }
    }

    /// The brightness: its difference to the block before.
    fn dc(&mut self, block: &mut [i16; 64], part: &mut Part) -> Result<()> {
        let size = part.dc.map_or(Ok(0), |table| self.bits.symbol(table))?;
        if size > 15 {
            return Err(format!("a difference of {size} bits cannot be"));
        }
        part.before = part.before.wrapping_add(self.bits.number(size.into())?);
        block[0] = (part.before << self.band.low) as i16;
        Ok(())
    }

    /// Runs of zeros and numbers, from coefficient `first` on.
    fn ac(&mut self, block: &mut [i16; 64], part: &Part, first: usize) -> Result<()> {
        let Some(table) = part.ac.filter(|_| self.run == 0) else {
            self.run = self.run.saturating_sub(1);
            return Ok(());
        };
        let mut k = first;
        while k <= self.band.last {
            let symbol = self.bits.symbol(table)?;
            let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && zeros < 15 {
                // A sequential block has no runs of blocks: any of these ends it.
                if first == self.band.first {
                    self.run = (1 << zeros) + self.bits.take(zeros as u32)? - 1;
                }
                break;
            }
            k += zeros;
            let value = self.bits.number(size)?;
            if size > 0 {
                let to = *ZIGZAG.get(k).ok_or("a block holds more than 64 coefficients")?;
                block[usize::from(to)] = (value << self.band.low) as i16;
            }
            k += 1;
        }
        Ok(())
    }

    /// One more bit of each coefficient that is not 0, and those that now begin (T.81, G.1.2.3).
    fn refine(&mut self, block: &mut [i16; 64], part: &Part) -> Result<()> {
        let table = part.ac.ok_or("a table of codes is missing")?;
        let one = 1i16 << self.band.low;
        let mut k = self.band.first;
        while k <= self.band.last && self.run == 0 {
            let symbol = self.bits.symbol(table)?;
            let (zeros, size) = (u32::from(symbol >> 4), symbol & 15);
            let begins = match size {
                0 if zeros < 15 => {
                    self.run = (1 << zeros) + self.bits.take(zeros)?;
                    break;
                }
                0 => 0,
                _ if self.bits.take(1)? == 1 => one,
                _ => -one,
            };
            k = self.more(block, k, Some(zeros))?;
            if let Some(&to) = ZIGZAG.get(k).filter(|_| begins != 0 && k <= self.band.last) {
                block[usize::from(to)] = begins;
            }
            k += 1;
        }
        if self.run > 0 {
            self.more(block, k, None)?;
            self.run -= 1;
        }
        Ok(())
    }

    /// Reads a bit for each coefficient that is not 0 from `k` on, and stops at the zero after `zeros` zeros, or at the end.
    fn more(&mut self, block: &mut [i16; 64], k: usize, zeros: Option<u32>) -> Result<usize> {
        let one = 1i16 << self.band.low;
        let mut left = zeros;
        for k in k..=self.band.last {
            let value = &mut block[usize::from(ZIGZAG[k])];
            if *value == 0 {
                match &mut left {
                    Some(0) => return Ok(k),
                    Some(n) => *n -= 1,
                    None => {}
                }
            } else if self.bits.take(1)? == 1 && *value & one == 0 {
                *value = value.wrapping_add(if *value > 0 { one } else { -one });
            }
        }
        Ok(self.band.last + 1)
    }
}
