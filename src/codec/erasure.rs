//! The tombstone of an account: a record that asks for everything to be forgotten that its topic has said
//! of the account until then. `docs/contracts.md` has it to the letter.

use super::decode::Refusal;
use super::redact::shorten;
use super::validate::id_fault;
use crate::event::{Code, FailedStage};
use crate::log::Record;

/// The header that makes a record without a payload a tombstone; its value says who asked.
pub const ERASE_HEADER: &str = "weir.erase";
/// Bytes that the name of who asked may have.
pub const ERASED_BY_BYTES_MAX: usize = 128;

/// Who asked for an erasure, if the record is one. One with a payload is what its payload says, and one
/// without the header an accident of its producer.
pub fn erased_by(record: &Record) -> Option<&[u8]> {
    let header = record.headers.iter().find(|(name, _)| name == ERASE_HEADER);
    header.filter(|_| record.payload().is_empty()).map(|(_, by)| by.as_slice())
}

/// The account that a tombstone names.
///
/// # Errors
/// The refusal, where its key is none of an account.
pub fn erased_account(record: &Record) -> Result<&str, Refusal> {
    let refuse = |code, message| Refusal { stage: FailedStage::Validate, code, message };
    let Some(key) = record.key() else {
        let message = "a tombstone has no key, expected tenant/account_id".to_owned();
        return Err(refuse(Code::KeyMissing, message));
    };
    let key = std::str::from_utf8(key).map_err(|_| "it is not UTF-8".to_owned());
    key.and_then(|key| check_account(key).map(|()| key)).map_err(|fault| {
        refuse(Code::InvalidField, format!("the key of a tombstone is of no account: {fault}"))
    })
}

/// Checks that a key is `tenant/account_id`, both as an event may have them.
///
/// # Errors
/// What was found and what was expected.
pub fn check_account(key: &str) -> Result<(), String> {
    let Some((tenant, account_id)) = key.split_once('/') else {
        return Err(format!("{:?} has no '/', expected tenant/account_id", shorten(key)));
    };
    for (field, value) in [("tenant", tenant), ("account_id", account_id)] {
        if let Some(expected) = id_fault(field, value) {
            return Err(format!("{field} is {:?}, expected {expected}", shorten(value)));
        }
    }
    Ok(())
}

/// Checks the name of who asks for an erasure.
///
/// # Errors
/// What was found and what was expected.
pub fn check_erased_by(by: &str) -> Result<(), String> {
    let is_printable = by.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    match by.len() {
        1..=ERASED_BY_BYTES_MAX if is_printable && !by.trim().is_empty() => Ok(()),
        _ => {
            let found = shorten(by);
            Err(format!("{found:?}, expected 1 to {ERASED_BY_BYTES_MAX} printable ASCII letters"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Position, Topic};

    fn record(key: Option<&[u8]>, payload: &[u8], header: &str) -> Record {
        let position = Position { topic: Topic::Chats, partition: 0, offset: 0 };
        Record::new(position, 0, key, payload, vec![(header.to_owned(), b"ops".to_vec())])
    }

    #[test]
    fn only_the_header_on_nothing_is_a_tombstone() {
        let key = Some(&b"default/a"[..]);
        assert_eq!(erased_by(&record(key, b"", ERASE_HEADER)), Some(&b"ops"[..]));
        assert_eq!(erased_by(&record(key, b"x", ERASE_HEADER)), None);
        assert_eq!(erased_by(&record(key, b"", "weir.other")), None);
    }

    #[test]
    fn a_tombstone_of_no_account_says_what_is_wrong_with_its_key() {
        let account = |key: Option<&[u8]>| {
            let record = record(key, b"", ERASE_HEADER);
            erased_account(&record).map(str::to_owned).map_err(|refusal| refusal.code)
        };
        assert_eq!(account(Some(b"default/a/b")), Ok("default/a/b".to_owned()));
        assert_eq!(account(None), Err(Code::KeyMissing));
        for key in [&b""[..], b"default", b"/a", b"default/", b"default/a\n", b"\xff/a"] {
            assert_eq!(account(Some(key)), Err(Code::InvalidField), "{key:?}");
        }
    }

    #[test]
    fn who_asks_is_named_in_print() {
        assert_eq!(check_erased_by("Jo Doe, ticket 17"), Ok(()));
        for by in ["", " ", "a\nb", "jö", &"x".repeat(ERASED_BY_BYTES_MAX + 1)] {
            assert!(check_erased_by(by).is_err(), "{by:?}");
        }
    }
}
