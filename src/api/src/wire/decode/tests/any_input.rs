//! Whatever the input is, it is decoded or refused.

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("accounts/acme/users/alice")),
    ];
    let key = prop_oneof![
        Just("name"),
        Just("role"),
        Just("users"),
        Just("status"),
        Just("code"),
        Just("message"),
        Just("error"),
        Just("state"),
        Just("nextPageToken"),
        Just("totalSize"),
        Just("displayName"),
        Just("email"),
        Just("updateTime"),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Value>()),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_decoded_or_refused_with_bounded_texts(body in any_json()) {
        let bytes = body.to_string();
        let _ = error_body(bytes.as_bytes());
        let single = user(bytes.as_bytes(), &acme()).ok();
        let rows = page(bytes.as_bytes(), &acme()).map(|page| page.users).unwrap_or_default();
        for user in single.into_iter().chain(rows) {
            prop_assert!(user.role.as_str().chars().count() <= TEXT_MAX);
            prop_assert!(user.display_name.is_none_or(|name| !name.is_empty()));
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let is_json = serde_json::from_str::<Value>(&mended(&bytes)).is_ok();
        prop_assert!(is_json || user(&bytes, &acme()) == Err(NOT_JSON));
        prop_assert!(is_json || page(&bytes, &acme()) == Err(NOT_JSON));
        prop_assert!(is_json || error_body(&bytes).is_none());
    }

    #[test]
    fn every_row_of_a_list_is_either_returned_or_counted(rows in prop::collection::vec(any_json(), 0..20)) {
        let page = page_of(&json!({"users": rows})).unwrap();
        prop_assert_eq!(page.users.len() + page.malformed, rows.len());
    }
}
