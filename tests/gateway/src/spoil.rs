//! A right answer made wrong, as a fault asks. Pure: answers come in and go out as values, and how the bytes then
//! travel is `delivery`'s work.

use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Code, Refusal},
    delivery::Delivery,
    faults::Kind,
    settings::ErrorShape,
};

/// Blanks in the unpacked bomb, by the 258.
const BOMB_RUNS: usize = 600_000;

/// The answer as this fault leaves it; `id` is the fault's number, `token` the page token that was asked for.
pub(crate) fn spoilt(kind: &Kind, id: u64, token: Option<&str>, mut answer: Answer) -> Answer {
    match kind {
        Kind::HangInBody => answer.delivery = Delivery::HalfThenRest(id),
        Kind::SlowBody { every_ms } => answer.delivery = Delivery::Slowly(*every_ms),
        Kind::Truncated => answer.delivery = Delivery::Half,
        Kind::Oversized { bytes } => answer.delivery = Delivery::Padded(*bytes),
        Kind::InvalidJson => answer.body.truncate(answer.body.len() / 2),
        Kind::WrongContentType { content_type } => {
            answer.content_type = content_type.clone().into();
        }
        Kind::GzipBomb => {
            answer = answer.with_header("content-encoding", "gzip");
            answer.body = gzip_bomb();
        }
        Kind::WrongUser { id } => edit_users(&mut answer, |user| {
            let name = user.get("name").and_then(Value::as_str).unwrap_or_default();
            let collection = name.rsplit_once('/').map_or("", |(before, _)| before);
            user.insert("name".to_owned(), json!(format!("{collection}/{id}")));
        }),
        Kind::Altered { set, remove } => edit_users(&mut answer, |user| {
            user.extend(set.clone());
            for key in remove {
                user.remove(key);
            }
        }),
        Kind::Replaced { from, to } => {
            answer.body = replaced(&answer.body, from.as_bytes(), &to.bytes());
        }
        Kind::RepeatedToken => edit(&mut answer, |page| {
            if let Some(token) = token {
                page.insert("nextPageToken".to_owned(), json!(token));
            }
        }),
        Kind::DuplicatedRows => edit_rows(&mut answer, |rows| {
            *rows = rows.drain(..).flat_map(|row| [row.clone(), row]).collect();
        }),
        Kind::OmittedUsers { ids } => edit_rows(&mut answer, |rows| {
            let named = |row: &Value| {
                let name = row["name"].as_str().unwrap_or_default();
                name.rsplit('/').next().unwrap_or_default().to_owned()
            };
            rows.retain(|row| !ids.contains(&named(row)));
        }),
        _ => {}
    }
    answer
}

/// The answer that this fault gives without the call being looked at; none where it has to be carried out.
pub(crate) fn instead(kind: &Kind, token: Option<&str>, own: ErrorShape) -> Option<Answer> {
    let answer = match kind {
        Kind::Error {
            code,
            status,
            shape,
            message,
        } => {
            let status = status.unwrap_or_else(|| crate::answer::http_status(*code));
            let message = message.as_deref().unwrap_or("injected by the simulator");
            Answer::error(status, *code, message, *shape)
        }
        Kind::Html502 => Answer::html(502, "Bad Gateway"),
        Kind::Throttle {
            retry_after,
            retry_after_ms,
        } => {
            let refusal = Refusal::new(Code::ResourceExhausted, "too many requests");
            let answer = Answer::refusal(&refusal, own);
            let headers = [
                ("retry-after", retry_after),
                ("retry-after-ms", retry_after_ms),
            ];
            headers
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.clone()?)))
                .fold(answer, |answer, (name, value)| {
                    answer.with_header(name, value)
                })
        }
        Kind::Redirect { status, location } => {
            Answer::html(*status, "Moved").with_header("location", location.clone())
        }
        Kind::ExpiredToken => {
            token?;
            Answer::refusal(&Refusal::invalid("the page token has expired"), own)
        }
        Kind::Raw {
            status,
            content_type,
            body,
            ..
        } => Answer::raw(*status, content_type.clone(), body.bytes()),
        _ => return None,
    };
    Some(answer)
}

fn replaced(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut after = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, others)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(from).filter(|_| !from.is_empty()) {
            after.extend_from_slice(to);
            rest = behind;
        } else {
            after.push(*first);
            rest = others;
        }
    }
    after
}

fn edit(answer: &mut Answer, change: impl FnOnce(&mut Map<String, Value>)) {
    if answer.status != 200 {
        return;
    }
    if let Ok(Value::Object(mut object)) = serde_json::from_slice(&answer.body) {
        change(&mut object);
        answer.body = Value::Object(object).to_string().into_bytes();
    }
}

fn edit_rows(answer: &mut Answer, change: impl FnOnce(&mut Vec<Value>)) {
    edit(answer, |page| {
        if let Some(Value::Array(rows)) = page.get_mut("users") {
            change(rows);
        }
    });
}

/// Every user of the answer: the rows of a page, or the one it is about.
fn edit_users(answer: &mut Answer, change: impl Fn(&mut Map<String, Value>)) {
    edit(answer, |object| match object.get_mut("users") {
        Some(Value::Array(rows)) => rows
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .for_each(change),
        Some(_) => {}
        None => change(object),
    });
}

/// One block of fixed codes: a blank, and then over and over "the last byte 258 times more", 13 bits each. Its
/// checksum is wrong, which is found out only by who has unpacked it all.
fn gzip_bomb() -> Vec<u8> {
    let mut bits = Bits(vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], 8);
    // The last block, and how it is packed.
    bits.push(0b110, 3);
    bits.push(0x30 + u32::from(b' '), 8);
    for _ in 0..BOMB_RUNS {
        bits.push(0b1100_0101, 8);
        bits.push(0, 5);
    }
    bits.push(0, 7);
    bits.0.extend([0; 8]);
    bits.0
}

/// Bytes that are filled from the lowest bit up, and how many bits of the last are taken.
struct Bits(Vec<u8>, u8);

impl Bits {
    /// Adds that many bits, the highest first.
    fn push(&mut self, value: u32, count: u8) {
        for place in (0..count).rev() {
            if self.1 == 8 {
                self.0.push(0);
                self.1 = 0;
            }
            if let Some(last) = self.0.last_mut() {
                *last |= u8::from(value >> place & 1 == 1) << self.1;
            }
            self.1 += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: &[&str]) -> Answer {
        let row = |id: &&str| json!({"name": format!("accounts/acme/users/{id}"), "role": "user"});
        let rows: Vec<_> = rows.iter().map(row).collect();
        Answer::json(200, &json!({"users": rows, "nextPageToken": ""}))
    }

    fn names(answer: &Answer) -> Vec<String> {
        let page: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let rows = page["users"].as_array().cloned().unwrap_or_default();
        let name = |row: &Value| row["name"].as_str().unwrap_or_default().to_owned();
        rows.iter().map(name).collect()
    }

    #[test]
    fn rows_are_doubled_left_out_and_altered() {
        let spoil = |kind: Kind| spoilt(&kind, 1, Some("tok"), page(&["a", "b"]));
        assert_eq!(names(&spoil(Kind::DuplicatedRows)).len(), 4);
        let ids = vec!["a".to_owned()];
        let rest = names(&spoil(Kind::OmittedUsers { ids }));
        assert_eq!(rest, ["accounts/acme/users/b"]);
        let set = json!({"state": null}).as_object().cloned();
        let altered = spoil(Kind::Altered {
            set: set.unwrap_or_default(),
            remove: vec!["role".to_owned()],
        });
        let altered: Value = serde_json::from_slice(&altered.body).unwrap_or_default();
        let row = json!({"name": "accounts/acme/users/b", "state": null});
        assert_eq!(altered["users"][1], row);
        let repeated = spoil(Kind::RepeatedToken);
        let repeated: Value = serde_json::from_slice(&repeated.body).unwrap_or_default();
        assert_eq!(repeated["nextPageToken"], "tok");
    }

    #[test]
    fn only_a_list_that_goes_on_meets_an_expired_token() {
        let shape = ErrorShape::Plain;
        assert_eq!(instead(&Kind::ExpiredToken, None, shape), None);
        let refused = instead(&Kind::ExpiredToken, Some("tok"), shape);
        assert_eq!(refused.map(|answer| answer.status), Some(400));
    }

    #[test]
    fn a_bomb_is_small_before_it_is_unpacked() {
        let bomb = gzip_bomb();
        assert!(bomb.len() < 1 << 20);
        // Bits from the lowest up: 1 (the last), 1 0 (fixed codes), then the code of the blank.
        assert_eq!(bomb[10] & 0b111, 0b011);
    }
}
