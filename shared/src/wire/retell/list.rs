//! A page of Retell's list of calls: items without transcripts (reference section 6.6), read one by one, so that an odd one spoils nothing but itself.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::RetellCall;
use crate::wire::{WireError, lenient};

/// A page.
#[derive(Debug, Default)]
pub struct CallList<'a> {
    items: Vec<&'a RawValue>,
    pub has_more: bool,
    /// Opaque: asks for the next page.
    pub pagination_key: Option<String>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    #[serde(default)]
    has_more: Option<bool>,
    #[serde(default, deserialize_with = "lenient::text")]
    pagination_key: Option<String>,
}

impl<'a> CallList<'a> {
    /// Reads a page.
    ///
    /// # Errors
    /// Not JSON, or without `items`: then it is not the list that we asked for, and nothing can be said of what is missing.
    pub fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let body: Body<'a> = serde_json::from_slice(body).map_err(|error| WireError::json(&error))?;
        // without a word about more, a key says that there is more
        let has_more = body.has_more.unwrap_or(body.pagination_key.is_some());
        Ok(Self { items: body.items, has_more, pagination_key: body.pagination_key })
    }

    /// How many there are, readable or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the page has no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The calls that can be read and have an id.
    pub fn calls(&self) -> impl Iterator<Item = RetellCall<'a>> + '_ {
        self.as_told().map(|(call, _)| call)
    }

    /// The same, each with the JSON that tells it.
    pub fn as_told(&self) -> impl Iterator<Item = (RetellCall<'a>, &'a str)> + '_ {
        let read = |item: &&'a RawValue| serde_json::from_str::<RetellCall<'a>>(item.get()).ok().map(|call| (call, item.get()));
        self.items.iter().filter_map(read).filter(|(call, _)| call.call_id.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_item_spoils_nothing_but_itself() {
        let body = br#"{"items":[{"call_id":"call_a","call_status":"ended"},7,{"call_id":""},{"call_id":"call_b"}],"has_more":true,"pagination_key":"k1"}"#;
        let page = CallList::parse(body).unwrap();
        let ids: Vec<_> = page.calls().filter_map(|call| call.call_id).collect();
        assert_eq!((page.len(), ids), (4, vec!["call_a".to_owned(), "call_b".to_owned()]));
        assert!(page.has_more && page.pagination_key.as_deref() == Some("k1"));
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for body in [&b"[]"[..], b"{}", b"{\"calls\":[]}", b"<html>"] {
            assert!(CallList::parse(body).is_err());
        }
        assert!(CallList::parse(br#"{"items":[]}"#).unwrap().is_empty());
    }
}
