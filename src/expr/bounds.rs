//! From source to tree, within bounds that are looked at before anything recurses.

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::Parser;

use super::program::ProgramError;
use crate::config::limits;

/// Brackets and conditionals that may stand within each other. The parser recurses through some twenty
/// functions for each of them.
const NESTING_MAX: usize = 64;
/// Operators, fields and calls one after another, added up over what they are nested in: the tree is no
/// deeper than that. `&&` and `||` do not count, their tree is balanced.
const DEPTH_MAX: usize = 200;

/// Parses an expression.
///
/// # Errors
/// Where it is too long or too deep, or is no expression.
pub(super) fn parse(source: &str) -> Result<(IdedExpr, SourceInfo), ProgramError> {
    let bytes_max = limits().expression_bytes_max;
    if source.len() > bytes_max {
        let message = format!("{} bytes, expected at most {bytes_max}", source.len());
        return Err(ProgramError::refused(None, message));
    }
    check_depth(source)?;
    let parser = Parser::new().enable_ident_escape_syntax(true);
    parser.parse_with_source_info(source).map_err(|errors| {
        let first = errors.errors.first();
        let message = first.map_or("not an expression".to_owned(), |error| match &*error.msg {
            "invalid argument to has() macro" => {
                "has() of a plain name, expected has(event.name) or name != null".to_owned()
            }
            message => message.to_owned(),
        });
        let is_outside = message.starts_with("unsupported syntax");
        let at = first.and_then(|error| byte_at(source, error.pos));
        ProgramError { at, message, is_outside }
    })
}

/// Line and column, both from 1 and 0 as the parser has them, to a byte of the source.
fn byte_at(source: &str, (line, column): (isize, isize)) -> Option<usize> {
    let line = usize::try_from(line.checked_sub(1)?).ok()?;
    let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    Some(before + usize::try_from(column).ok()?).filter(|at| *at <= source.len())
}

/// What stands between two brackets.
#[derive(Clone, Copy, Default)]
struct Level {
    /// conditionals that are not ended: they hold all that follows
    conditionals: usize,
    /// operators since the last that begins anew
    chain: usize,
}

fn check_depth(source: &str) -> Result<(), ProgramError> {
    let mut levels = vec![Level::default()];
    let mut rest = Tokens { source: source.as_bytes(), at: 0 };
    while let Some((at, token)) = rest.next() {
        let inner = levels.len() > 1;
        let Some(level) = levels.last_mut() else { break };
        match token {
            Token::Open => {
                level.chain += 1;
                levels.push(Level::default());
            }
            Token::Close if inner => {
                levels.pop();
            }
            Token::Close => {}
            Token::Operator => level.chain += 1,
            Token::Anew => level.chain = 0,
            Token::Comma => *level = Level::default(),
            Token::Broken(message) => {
                return Err(ProgramError::refused(Some(at), message.to_owned()));
            }
            Token::Conditional => {
                level.conditionals += 1;
                level.chain = 0;
            }
        }
        let nesting: usize = levels.iter().map(|level| 1 + level.conditionals).sum();
        let depth: usize = levels.iter().map(|level| level.conditionals + level.chain).sum();
        if nesting > NESTING_MAX + 1 {
            let message = format!("nested too deep, expected at most {NESTING_MAX} levels");
            return Err(ProgramError::refused(Some(at), message));
        }
        if depth > DEPTH_MAX {
            let message = format!("too many operators in one chain, expected at most {DEPTH_MAX}");
            return Err(ProgramError::refused(Some(at), message));
        }
    }
    Ok(())
}

/// What matters of a token for the depth of the tree.
enum Token {
    Open,
    Close,
    Comma,
    /// `?`
    Conditional,
    /// `:`, `&&` or `||`
    Anew,
    Operator,
    /// what the parser could read in another way than is done here, with what is wrong
    Broken(&'static str),
}

struct Tokens<'s> {
    source: &'s [u8],
    at: usize,
}

impl Tokens<'_> {
    /// The next token that matters, and the byte it begins at.
    fn next(&mut self) -> Option<(usize, Token)> {
        loop {
            let at = self.at;
            let token = match *self.source.get(at)? {
                b'"' | b'\'' => match self.text(false) {
                    Ok(()) => continue,
                    Err(message) => return Some((at, Token::Broken(message))),
                },
                b'`' => {
                    self.quoted_name();
                    continue;
                }
                b'/' if self.source.get(at + 1) == Some(&b'/') => {
                    self.skip(|byte| byte != b'\n');
                    continue;
                }
                b'0'..=b'9' => match self.number() {
                    Ok(()) => continue,
                    Err(message) => return Some((at, Token::Broken(message))),
                },
                byte if byte.is_ascii_alphabetic() || byte == b'_' => match self.word() {
                    Ok(true) => return Some((at, Token::Operator)),
                    Ok(false) => continue,
                    Err(message) => return Some((at, Token::Broken(message))),
                },
                b'(' | b'[' | b'{' => Token::Open,
                b')' | b']' | b'}' => Token::Close,
                b',' => Token::Comma,
                b'?' => Token::Conditional,
                b':' | b'&' | b'|' => Token::Anew,
                b'.' => Token::Operator,
                sign @ (b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'!') => {
                    self.skip(|byte| byte == sign || byte == b'=');
                    return Some((at, Token::Operator));
                }
                _ => {
                    self.at += 1;
                    continue;
                }
            };
            self.at += 1;
            return Some((at, token));
        }
    }

    fn skip(&mut self, while_it: impl Fn(u8) -> bool) {
        while self.source.get(self.at).is_some_and(|byte| while_it(*byte)) {
            self.at += 1;
        }
    }

    /// A number, with whatever letters are in it.
    fn number(&mut self) -> Result<(), &'static str> {
        self.skip(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        match self.source.get(self.at) {
            Some(b'"' | b'\'') => Err("a text right after a number"),
            _ => Ok(()),
        }
    }

    /// A name in back quotes, if there is one; else the quote alone.
    fn quoted_name(&mut self) {
        self.at += 1;
        let from = self.at;
        self.skip(|byte| byte.is_ascii_alphanumeric() || b"_.-/ ".contains(&byte));
        match self.source.get(self.at) {
            Some(b'`') => self.at += 1,
            _ => self.at = from,
        }
    }

    /// A name, or a text where the name turns out to be its prefix. Whether it is an operator.
    fn word(&mut self) -> Result<bool, &'static str> {
        let from = self.at;
        self.skip(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let end = self.at;
        let word = &self.source[from..end];
        let is_prefix =
            matches!(word, b"r" | b"R" | b"b" | b"B") || matches!(word, [b'b' | b'B', b'r' | b'R']);
        if is_prefix && matches!(self.source.get(end), Some(b'"' | b'\'')) {
            self.text(matches!(word.last(), Some(b'r' | b'R')))?;
        }
        Ok(word == b"in")
    }

    /// A text, from its first quote to behind its last.
    fn text(&mut self, is_raw: bool) -> Result<(), &'static str> {
        let quote = self.source[self.at];
        let is_triple = self.source[self.at..].starts_with(&[quote; 3]);
        let end: &[u8] = if is_triple { &[quote; 3] } else { &[quote] };
        self.at += end.len();
        loop {
            let rest = &self.source[self.at..];
            if rest.starts_with(end) {
                self.at += end.len();
                return Ok(());
            }
            match rest {
                [] => return Err("a text is not closed"),
                [b'\n' | b'\r', ..] if !is_triple => return Err("a text is not closed"),
                [b'\\', escape @ ..] if !is_raw => self.at += 1 + escaped(escape)?,
                _ => self.at += 1,
            }
        }
    }
}

/// The length of an escape, without its backslash.
fn escaped(escape: &[u8]) -> Result<usize, &'static str> {
    let are = |count: usize, is: fn(&u8) -> bool| {
        escape.get(1..=count).is_some_and(|digits| digits.iter().all(is))
    };
    let is_octal = |byte: &u8| matches!(byte, b'0'..=b'7');
    match escape {
        [b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v', ..] => Ok(1),
        [b'"' | b'\'' | b'\\' | b'?' | b'`', ..] => Ok(1),
        [b'x' | b'X', ..] if are(2, u8::is_ascii_hexdigit) => Ok(3),
        [b'u', ..] if are(4, u8::is_ascii_hexdigit) => Ok(5),
        [b'U', ..] if are(8, u8::is_ascii_hexdigit) => Ok(9),
        [b'0'..=b'3', ..] if are(2, is_octal) => Ok(3),
        _ => Err("a backslash in a text begins no escape"),
    }
}
