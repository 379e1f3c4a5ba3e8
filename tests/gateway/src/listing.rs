//! LIST: parameters, filter, order, pages and their tokens. Pure: users come in as seen, a page goes out.

use std::{
    cmp::Ordering,
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{answer::Refusal, user::User, wire::Field, wire::ReadMask};

const DEFAULT_PAGE_SIZE: usize = 50;
const MAX_PAGE_SIZE: usize = 200;
const FILTERABLE: [Field; 6] = [
    Field::Role,
    Field::State,
    Field::ServiceAccount,
    Field::DisplayName,
    Field::Email,
    Field::PermissionPreset,
];

/// The parameters of one LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    page_size: usize,
    offset: usize,
    filter: Vec<Clause>,
    order: Vec<(Field, bool)>,
    /// Which fields the answer shows.
    pub read_mask: ReadMask,
    /// Everything but the token: a token is only good for the same parameters.
    fingerprint: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    field: Field,
    value: String,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// The users on it.
    pub users: Vec<&'a User>,
    /// Token of the next page; none on the last.
    pub next: Option<String>,
    /// How many users match, on all pages together.
    pub total: usize,
}

impl ListQuery {
    /// Reads the query string's pairs. Parameters the gateway does not know are ignored.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a malformed parameter, an unsupported filter, or a token of another listing.
    pub fn parse(params: &[(String, String)]) -> Result<Self, Refusal> {
        let get = |camel: &str, snake: &str| {
            params
                .iter()
                .find(|(key, _)| key == camel || key == snake)
                .map_or("", |(_, value)| value.as_str())
        };
        let (size, filter) = (get("pageSize", "page_size"), get("filter", "filter"));
        let (order, mask) = (get("orderBy", "order_by"), get("readMask", "read_mask"));
        let mut hasher = DefaultHasher::new();
        (size, filter, order, mask).hash(&mut hasher);
        let fingerprint = hasher.finish();
        Ok(Self {
            page_size: page_size(size)?,
            offset: offset(get("pageToken", "page_token"), fingerprint)?,
            filter: clauses(filter)?,
            order: sort_keys(order)?,
            read_mask: ReadMask::parse(mask)?,
            fingerprint,
        })
    }

    /// Whether the filter is about service accounts.
    #[must_use]
    pub fn asks_for_service_accounts(&self) -> bool {
        self.filter
            .iter()
            .any(|clause| clause.field == Field::ServiceAccount)
    }

    /// The page of these users, which come ordered by id.
    #[must_use]
    pub fn page<'a>(&self, users: Vec<&'a User>) -> Page<'a> {
        let mut matching: Vec<&User> = users
            .into_iter()
            .filter(|user| self.filter.iter().all(|clause| clause.matches(user)))
            .collect();
        if !self.order.is_empty() {
            matching.sort_by(|a, b| self.compare(a, b));
        }
        let total = matching.len();
        let end = self.offset.saturating_add(self.page_size);
        Page {
            users: matching
                .into_iter()
                .skip(self.offset)
                .take(self.page_size)
                .collect(),
            next: (end < total).then(|| token(end, self.fingerprint)),
            total,
        }
    }

    fn compare(&self, a: &User, b: &User) -> Ordering {
        self.order
            .iter()
            .map(|(field, descending)| {
                let ordering = sort_key(a, *field).cmp(&sort_key(b, *field));
                if *descending {
                    ordering.reverse()
                } else {
                    ordering
                }
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| a.id.cmp(&b.id))
    }
}

impl Clause {
    fn matches(&self, user: &User) -> bool {
        match self.field {
            Field::ServiceAccount => user.service_account == (self.value == "true"),
            field => sort_key(user, field) == self.value,
        }
    }
}

fn sort_key(user: &User, field: Field) -> String {
    let time = |time: Option<jiff::Timestamp>| {
        // Padded, because text order is what is compared.
        time.map_or_else(String::new, |time| format!("{:020}", time.as_microsecond()))
    };
    match field {
        Field::Name => user.id.clone(),
        Field::DisplayName => user.display_name.clone(),
        Field::ServiceAccount => user.service_account.to_string(),
        Field::CreateTime => time(user.create_time),
        Field::UpdateTime => time(user.update_time),
        Field::Role => user.role.clone(),
        Field::Email => user.email.clone(),
        Field::State => user.state.clone(),
        Field::Status => user
            .status
            .as_ref()
            .map_or_else(String::new, |s| s.code.clone()),
        Field::PermissionPreset => user.permission_preset.clone(),
    }
}

fn page_size(text: &str) -> Result<usize, Refusal> {
    if text.is_empty() {
        return Ok(DEFAULT_PAGE_SIZE);
    }
    let size: i32 = text.parse().map_err(|_| {
        Refusal::invalid(format!(
            "parsing field \"page_size\": {text:?} is not an int32"
        ))
    })?;
    match usize::try_from(size) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) => Ok(size.min(MAX_PAGE_SIZE)),
        Err(_) => Err(Refusal::invalid("page_size must not be negative")),
    }
}

/// Tokens are hexadecimal text over "offset.fingerprint": opaque to a client, and nothing to keep on this side.
fn token(offset: usize, fingerprint: u64) -> String {
    use std::fmt::Write;
    let mut token = String::new();
    for byte in format!("{offset}.{fingerprint:x}").bytes() {
        // Writing to a string cannot fail.
        let _ = write!(token, "{byte:02x}");
    }
    token
}

fn offset(text: &str, fingerprint: u64) -> Result<usize, Refusal> {
    if text.is_empty() {
        return Ok(0);
    }
    let (offset, of) = decode(text).ok_or_else(|| Refusal::invalid("invalid page_token"))?;
    if of != fingerprint {
        return Err(Refusal::invalid(
            "invalid page_token: the other parameters must match the call that provided it",
        ));
    }
    Ok(offset)
}

fn decode(text: &str) -> Option<(usize, u64)> {
    let bytes: Vec<u8> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()?;
    let (offset, fingerprint) = std::str::from_utf8(&bytes).ok()?.split_once('.')?;
    Some((
        offset.parse().ok()?,
        u64::from_str_radix(fingerprint, 16).ok()?,
    ))
}

fn clauses(filter: &str) -> Result<Vec<Clause>, Refusal> {
    if filter.trim().is_empty() {
        return Ok(Vec::new());
    }
    filter
        .split(" AND ")
        .map(|text| clause(text.trim()))
        .collect()
}

fn clause(text: &str) -> Result<Clause, Refusal> {
    let unsupported = || Refusal::invalid(format!("invalid filter: cannot parse {text:?}"));
    let (name, value) = text.split_once('=').ok_or_else(unsupported)?;
    let field = Field::parse(name.trim())
        .filter(|field| FILTERABLE.contains(field))
        .ok_or_else(unsupported)?;
    let value = value.trim();
    let value = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or_else(unsupported)?,
        None if value.is_empty() || value.contains([' ', '"', '=', '(', ')', '<', '>']) => {
            return Err(unsupported());
        }
        None => value,
    };
    if field == Field::ServiceAccount && !matches!(value, "true" | "false") {
        return Err(unsupported());
    }
    Ok(Clause {
        field,
        value: value.to_owned(),
    })
}

fn sort_keys(order_by: &str) -> Result<Vec<(Field, bool)>, Refusal> {
    if order_by.trim().is_empty() {
        return Ok(Vec::new());
    }
    order_by
        .split(',')
        .map(|part| {
            let mut words = part.split_whitespace();
            let field = words.next().and_then(Field::parse);
            match (field, words.next(), words.next()) {
                (Some(field), None | Some("asc"), None) => Ok((field, false)),
                (Some(field), Some("desc"), None) => Ok((field, true)),
                _ => Err(Refusal::invalid(format!("invalid order_by: {part:?}"))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn query(params: &[(&str, &str)]) -> Result<ListQuery, Refusal> {
        let owned: Vec<_> = params
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        ListQuery::parse(&owned)
    }

    fn users(count: usize) -> Vec<User> {
        (0..count)
            .map(|n| User::new(format!("u{n:05}"), "user"))
            .collect()
    }

    /// Follows tokens to the end; the ids of each page.
    fn walk(users: &[User], size: &str) -> Vec<usize> {
        let mut token = String::new();
        let mut sizes = Vec::new();
        let mut seen = Vec::new();
        loop {
            let query = query(&[("pageSize", size), ("pageToken", &token)]).unwrap();
            let page = query.page(users.iter().collect());
            assert_eq!(page.total, users.len());
            sizes.push(page.users.len());
            seen.extend(page.users.iter().map(|user| user.id.clone()));
            match page.next {
                Some(next) => token = next,
                None => break,
            }
        }
        assert_eq!(
            seen,
            users.iter().map(|user| user.id.clone()).collect::<Vec<_>>()
        );
        sizes
    }

    #[test]
    fn pages_hold_50_by_default_and_200_at_most() {
        assert_eq!(walk(&users(120), ""), [50, 50, 20]);
        assert_eq!(walk(&users(120), "0"), [50, 50, 20]);
        assert_eq!(walk(&users(401), "1000"), [200, 200, 1]);
        assert_eq!(walk(&users(200), "200"), [200]);
        assert_eq!(walk(&users(0), "200"), [0]);
    }

    #[test]
    fn malformed_sizes_are_refused() {
        for size in ["-1", "ten", "99999999999"] {
            assert!(query(&[("pageSize", size)]).is_err(), "{size}");
        }
    }

    #[test]
    fn a_token_is_refused_when_another_parameter_changed_or_it_is_made_up() {
        let list = users(60);
        let next = query(&[])
            .unwrap()
            .page(list.iter().collect())
            .next
            .unwrap();
        assert!(query(&[("pageToken", &next)]).is_ok());
        assert!(query(&[("pageToken", &next), ("filter", "role=admin")]).is_err());
        assert!(query(&[("pageToken", &next), ("pageSize", "10")]).is_err());
        for made_up in ["50", "zz", "é", "3530"] {
            assert!(query(&[("pageToken", made_up)]).is_err(), "{made_up}");
        }
    }

    #[test]
    fn a_filter_is_a_conjunction_of_equalities() {
        let list = [
            User::new("a", "admin"),
            User::new("b", "user").display_name("Bob B"),
            User::new("c", "user").service_account(),
        ];
        let ids = |filter| {
            let page = query(&[("filter", filter)])?.page(list.iter().collect());
            Ok::<_, Refusal>(
                page.users
                    .iter()
                    .map(|user| user.id.clone())
                    .collect::<String>(),
            )
        };
        assert_eq!(ids("role=user").unwrap(), "bc");
        assert_eq!(ids("service_account=true").unwrap(), "c");
        assert_eq!(
            ids("serviceAccount = false AND role=\"user\"").unwrap(),
            "b"
        );
        assert_eq!(ids("display_name=\"Bob B\"").unwrap(), "b");
        assert_eq!(ids("state=READY").unwrap(), "abc");
        for unsupported in [
            "role",
            "role!=user",
            "role=user OR role=admin",
            "shoe=1",
            "role=\"x",
        ] {
            assert!(ids(unsupported).is_err(), "{unsupported}");
        }
    }

    #[test]
    fn the_order_may_be_reversed_and_ties_fall_to_the_name() {
        let list = [
            User::new("a", "user"),
            User::new("b", "admin"),
            User::new("c", "user"),
        ];
        let ids = |order| {
            let page = query(&[("orderBy", order)])
                .unwrap()
                .page(list.iter().collect());
            page.users
                .iter()
                .map(|user| user.id.clone())
                .collect::<String>()
        };
        assert_eq!(ids("name desc"), "cba");
        assert_eq!(ids("role"), "bac");
        assert_eq!(ids("role desc,name desc"), "cab");
        assert!(query(&[("orderBy", "name sideways")]).is_err());
    }
}
