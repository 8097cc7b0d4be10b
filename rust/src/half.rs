//! Half floats without a dependency.

use std::fmt;

/// An IEEE 754 binary16 number by its bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct F16(pub u16);

impl F16 {
    /// Rounds to the nearest, ties to even; what is too large becomes infinite.
    pub fn from_f32(value: f32) -> F16 {
        let bits = value.to_bits();
        let sign = (bits >> 16 & 0x8000) as u16;
        let magnitude = bits & 0x7fff_ffff;
        if magnitude > 0x7f80_0000 {
            return F16(sign | 0x7e00 | (magnitude >> 13 & 0x3ff) as u16);
        }
        if magnitude >= 0x4780_0000 {
            return F16(sign | 0x7c00); // 65536 and more
        }
        if magnitude < 0x3880_0000 {
            // Subnormal: in units of 2^-24, which adding 0.5 leaves in the lowest bits, rounded.
            let shifted = f32::from_bits(magnitude) + 0.5;
            return F16(sign | (shifted.to_bits() - 0.5f32.to_bits()) as u16);
        }
        let rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
        F16(sign | ((rounded >> 13) - (112 << 10)) as u16)
    }

    /// Exact.
    pub fn to_f32(self) -> f32 {
        let magnitude = u32::from(self.0 & 0x7fff);
        let sign = u32::from(self.0 & 0x8000) << 16;
        if magnitude >= 0x7c00 {
            return f32::from_bits(sign | 0x7f80_0000 | (magnitude & 0x3ff) << 13);
        }
        if magnitude < 0x400 {
            let value = magnitude as f32 / 16_777_216.0;
            return f32::from_bits(sign | value.to_bits());
        }
        f32::from_bits(sign | ((magnitude << 13) + (112 << 23)))
    }
}

impl fmt::Debug for F16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_f32())
    }
}

#[cfg(test)]
mod tests {
    use super::F16;

    #[test]
    fn every_half_comes_back_from_its_float() {
        for bits in 0..=u16::MAX {
            let half = F16(bits);
            let back = F16::from_f32(half.to_f32());
            let is_nan = bits & 0x7fff > 0x7c00;
            assert_eq!(half.to_f32().is_nan(), is_nan, "{bits:04x}");
            assert!(if is_nan { back.to_f32().is_nan() } else { back == half }, "{bits:04x}");
        }
    }

    #[test]
    fn what_lies_between_two_halves_goes_to_the_nearer_or_the_even_one() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (F16(bits), F16(bits + 1));
            let middle = (low.to_f32() + high.to_f32()) / 2.0; // exact
            let even = if bits % 2 == 0 { low } else { high };
            assert_eq!(F16::from_f32(middle), even, "{bits:04x}");
            let (below, above) = (middle.to_bits() - 1, middle.to_bits() + 1);
            assert_eq!(F16::from_f32(f32::from_bits(below)), low, "{bits:04x}");
            assert_eq!(F16::from_f32(f32::from_bits(above)), high, "{bits:04x}");
            assert_eq!(F16::from_f32(-middle).0, even.0 | 0x8000, "{bits:04x}");
        }
    }

    #[test]
    fn the_ends_are_what_the_standard_says() {
        assert_eq!(F16(0x3c00).to_f32(), 1.0);
        assert_eq!(F16(0x7bff).to_f32(), 65504.0);
        assert_eq!(F16(0x0001).to_f32(), 2.0f32.powi(-24));
        assert_eq!(F16::from_f32(65519.9), F16(0x7bff));
        assert_eq!(F16::from_f32(65520.0), F16(0x7c00));
        assert_eq!(F16::from_f32(f32::NEG_INFINITY), F16(0xfc00));
        assert_eq!(F16::from_f32(1e-30), F16(0));
        assert_eq!(F16::from_f32(-0.0), F16(0x8000));
    }
}
