//! Keywords that read numbers from bytes: `byte_test`, `byte_jump`, `byte_extract`, `byte_math`, and `isdataat`.

use super::{Draft, bad, misplaced, required, syntax::RawOption};
use crate::bounds::number;
use crate::error::RuleError;
use crate::rule::{
    Arithmetic, ByteExtract, ByteJump, ByteMath, ByteTest, JumpFrom, Matcher, Notation, Operator,
    Reading, Value,
};

/// What a number of bytes can be read from: a word, or digits (the longest is a 64-bit number in octal).
const WIDTHS: std::ops::RangeInclusive<i64> = 1..=8;
const DIGITS: std::ops::RangeInclusive<i64> = 0..=23;

impl Draft {
    /// Whether the option was one of these.
    pub(super) fn read_numbers(&mut self, option: &RawOption<'_>) -> Result<bool, RuleError> {
        let matcher = match option.name {
            "isdataat" => self.data_at(option)?,
            "byte_test" => self.byte_test(option)?,
            "byte_jump" => self.byte_jump(option)?,
            "byte_extract" => self.byte_extract(option)?,
            "byte_math" => self.byte_math(option)?,
            _ => return Ok(false),
        };
        self.add(matcher)?;
        Ok(true)
    }

    /// `isdataat:[!]NUMBER[,relative][,rawbytes]`
    fn data_at(&mut self, option: &RawOption<'_>) -> Result<Matcher, RuleError> {
        let value = required(option)?;
        let (negated, value) = match value.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let mut words = value.split(',').map(str::trim);
        let offset = self.value(option, words.next().unwrap_or_default())?;
        let mut relative = false;
        for word in words {
            match word {
                "relative" => relative = true,
                "rawbytes" => {}
                _ => return Err(bad(option, "relative and rawbytes are all that may follow")),
            }
        }
        Ok(Matcher::DataAt {
            offset,
            relative,
            negated,
        })
    }

    /// `byte_test:BYTES,[!]OPERATOR,VALUE,OFFSET[,…]`
    fn byte_test(&mut self, option: &RawOption<'_>) -> Result<Matcher, RuleError> {
        let words: Vec<_> = required(option)?.split(',').map(str::trim).collect();
        let [width, operator, value, offset, ref more @ ..] = *words else {
            return Err(bad(option, "BYTES, OPERATOR, VALUE, OFFSET"));
        };
        let (negated, sign) = match operator.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, operator),
        };
        let operator = match sign {
            "<" => Operator::Less,
            ">" => Operator::Greater,
            // `!` alone is "not equal".
            "=" | "==" => Operator::Equal,
            "" if negated => Operator::Equal,
            "<=" => Operator::LessOrEqual,
            ">=" => Operator::GreaterOrEqual,
            "&" => Operator::And,
            "^" => Operator::Xor,
            _ => return Err(bad(option, "unknown operator")),
        };
        let value = self.value(option, value)?;
        let mut extra = Extra::default();
        for word in more {
            self.extra(option, word, &mut extra)?;
        }
        Ok(Matcher::Test(ByteTest {
            reading: self.reading(option, width, offset, &extra)?,
            operator,
            negated,
            value,
            mask: extra.mask,
        }))
    }

    /// `byte_jump:BYTES,OFFSET[,…]`
    fn byte_jump(&mut self, option: &RawOption<'_>) -> Result<Matcher, RuleError> {
        let words: Vec<_> = required(option)?.split(',').map(str::trim).collect();
        let [width, offset, ref more @ ..] = *words else {
            return Err(bad(option, "BYTES, OFFSET"));
        };
        let mut extra = Extra::default();
        for word in more {
            self.extra(option, word, &mut extra)?;
        }
        Ok(Matcher::Jump(ByteJump {
            reading: self.reading(option, width, offset, &extra)?,
            multiplier: extra.multiplier.unwrap_or(1),
            align: extra.align.is_some(),
            from: extra.from.unwrap_or(JumpFrom::Number),
            post_offset: extra.post_offset.unwrap_or(Value::Literal(0)),
            mask: extra.mask,
        }))
    }

    /// `byte_extract:BYTES,OFFSET,NAME[,…]`
    fn byte_extract(&mut self, option: &RawOption<'_>) -> Result<Matcher, RuleError> {
        let words: Vec<_> = required(option)?.split(',').map(str::trim).collect();
        let [width, offset, name, ref more @ ..] = *words else {
            return Err(bad(option, "BYTES, OFFSET, NAME"));
        };
        let mut extra = Extra::default();
        for word in more {
            self.extra(option, word, &mut extra)?;
        }
        let reading = self.reading(option, width, offset, &extra)?;
        Ok(Matcher::Extract(ByteExtract {
            reading,
            multiplier: extra.multiplier.unwrap_or(1),
            align: extra.align.unwrap_or(1),
            into: self.variable(option, name)?,
            mask: extra.mask,
        }))
    }

    /// `byte_math:bytes N, offset N, oper +, rvalue N, result NAME[, …]`, in any order.
    fn byte_math(&mut self, option: &RawOption<'_>) -> Result<Matcher, RuleError> {
        let (mut width, mut offset, mut operator) = (None, None, None);
        let (mut operand, mut result) = (None, None);
        let mut extra = Extra::default();
        for word in required(option)?.split(',').map(str::trim) {
            match word.split_once(char::is_whitespace) {
                Some(("bytes", value)) => width = Some(value.trim()),
                Some(("offset", value)) => offset = Some(value.trim()),
                Some(("oper", value)) => {
                    operator = Some(match value.trim() {
                        "+" => Arithmetic::Add,
                        "-" => Arithmetic::Subtract,
                        "*" => Arithmetic::Multiply,
                        "/" => Arithmetic::Divide,
                        "<<" => Arithmetic::ShiftLeft,
                        ">>" => Arithmetic::ShiftRight,
                        _ => return Err(bad(option, "unknown operator")),
                    });
                }
                Some(("rvalue", value)) => operand = Some(self.value(option, value)?),
                Some(("result", value)) => result = Some(value.trim()),
                Some(("endian", value)) => self.extra(option, value.trim(), &mut extra)?,
                Some(("string", value)) => self.extra(option, value.trim(), &mut extra)?,
                None | Some(_) => self.extra(option, word, &mut extra)?,
            }
        }
        let (Some(width), Some(offset), Some(operator), Some(operand), Some(result)) =
            (width, offset, operator, operand, result)
        else {
            return Err(bad(
                option,
                "bytes, offset, oper, rvalue and result are needed",
            ));
        };
        Ok(Matcher::Math(ByteMath {
            reading: self.reading(option, width, offset, &extra)?,
            operator,
            operand,
            into: self.variable(option, result)?,
            mask: extra.mask,
        }))
    }

    fn reading(
        &mut self,
        option: &RawOption<'_>,
        width: &str,
        offset: &str,
        extra: &Extra,
    ) -> Result<Reading, RuleError> {
        let width = self.value(option, width)?;
        let notation = extra.notation.unwrap_or(Notation::BigEndian);
        let fits = match (width, notation) {
            (Value::Variable(_), _) => true,
            // A jump by nothing but its own offsets.
            (Value::Literal(0), Notation::BigEndian) => option.name == "byte_jump",
            (Value::Literal(bytes), Notation::BigEndian | Notation::LittleEndian) => {
                WIDTHS.contains(&bytes)
            }
            (Value::Literal(bytes), _) => DIGITS.contains(&bytes),
        };
        if !fits {
            return Err(bad(option, "so many bytes are no number"));
        }
        Ok(Reading {
            width,
            offset: self.value(option, offset)?,
            relative: extra.relative,
            notation,
        })
    }

    fn extra(
        &self,
        option: &RawOption<'_>,
        word: &str,
        extra: &mut Extra,
    ) -> Result<(), RuleError> {
        let unreadable = || bad(option, "is no number in range");
        let small = |value: &str| number(value).and_then(|value| i64::try_from(value).ok());
        let (word, value) = match word.split_once(char::is_whitespace) {
            Some((word, value)) => (word, value.trim()),
            None => (word, ""),
        };
        match (word, value) {
            ("relative", "") => extra.relative = true,
            ("big", "") => extra.notation = extra.notation.or(Some(Notation::BigEndian)),
            ("little", "") => extra.notation = extra.notation.or(Some(Notation::LittleEndian)),
            // Which follows as a word of its own; a number's own prefix would say it otherwise.
            ("string", "") => extra.notation = Some(Notation::Decimal),
            ("dec", "") => extra.notation = Some(Notation::Decimal),
            ("hex", "") => extra.notation = Some(Notation::Hexadecimal),
            ("oct", "") => extra.notation = Some(Notation::Octal),
            ("align", "") => extra.align = Some(4),
            ("align", "2") => extra.align = Some(2),
            ("align", "4") => extra.align = Some(4),
            ("from_beginning", "") => extra.from = Some(JumpFrom::Beginning),
            ("from_end", "") => extra.from = Some(JumpFrom::End),
            ("multiplier", value) => {
                let value = small(value).filter(|value| (1..=65535).contains(value));
                extra.multiplier = Some(value.ok_or_else(unreadable)?);
            }
            ("post_offset", value) => extra.post_offset = Some(self.value(option, value)?),
            ("bitmask", value) => {
                let digits = value.strip_prefix("0x").unwrap_or(value);
                let mask = u32::from_str_radix(digits, 16)
                    .ok()
                    .filter(|&mask| mask != 0);
                extra.mask = Some(mask.ok_or_else(unreadable)?);
            }
            ("dce", "") => {
                return Err(misplaced(option, "the byte order of DCE is not known here"));
            }
            _ => return Err(bad(option, "unknown word")),
        }
        Ok(())
    }
}

/// What may follow, in any order.
#[derive(Default)]
struct Extra {
    relative: bool,
    notation: Option<Notation>,
    multiplier: Option<i64>,
    align: Option<i64>,
    from: Option<JumpFrom>,
    post_offset: Option<Value>,
    mask: Option<u32>,
}
