//! The official test vectors of Standard Webhooks and the verdicts of its official SDKs.

use std::slice;

use serde::Deserialize;
use webhooks::{Headers, Secret, VerifyError, VerifyingKey, sign, verify};

const VECTORS: &str = include_str!("../vectors/standard_webhooks.json");

#[derive(Deserialize)]
struct Vectors {
    official: Vec<Signed>,
    v1a_generated: Signed,
    cases: Vec<Case>,
}

/// One signed message: with `secret` (v1), or with `signing_key` and `verify_key` (v1a).
#[derive(Deserialize)]
struct Signed {
    secret: Option<String>,
    signing_key: Option<String>,
    verify_key: Option<String>,
    webhook_id: String,
    timestamp: i64,
    body: String,
    signature: String,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    now: i64,
    receiver_secrets: Vec<String>,
    request: Request,
    expect: Expect,
}

#[derive(Deserialize)]
struct Request {
    headers: std::collections::BTreeMap<String, String>,
    body: String,
}

#[derive(Deserialize)]
struct Expect {
    valid: bool,
    reason: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).expect("the vectors are JSON of this shape")
}

#[test]
fn signatures_are_those_of_the_official_implementations() {
    let Vectors { mut official, v1a_generated, .. } = vectors();
    official.push(v1a_generated);
    for case in official {
        let secret = case.secret.as_ref().or(case.signing_key.as_ref()).unwrap();
        let signer: Secret = secret.parse().unwrap();
        let signature =
            sign(slice::from_ref(&signer), &case.webhook_id, case.timestamp, case.body.as_bytes()).unwrap();
        assert_eq!(signature, case.signature);
        assert_eq!(*signer.expose(), *secret);

        let key = case.verify_key.as_ref().or(case.secret.as_ref()).unwrap();
        assert_eq!(*signer.verifying_key().expose(), *key);
        let headers = Headers {
            id: Some(&case.webhook_id),
            timestamp: Some(&case.timestamp.to_string()),
            signature: Some(&case.signature),
        };
        let keys: [VerifyingKey; 1] = [key.parse().unwrap()];
        let verified = verify(&keys, &headers, case.body.as_bytes(), case.timestamp).unwrap();
        assert_eq!((verified.id, verified.timestamp), (case.webhook_id.as_str(), case.timestamp));
    }
}

#[test]
fn verdicts_are_those_of_the_official_sdks() {
    let cases = vectors().cases;
    assert!(cases.len() >= 14, "the vectors are incomplete");
    for case in cases {
        let keys: Vec<VerifyingKey> =
            case.receiver_secrets.iter().map(|secret| secret.parse().unwrap()).collect();
        let headers = Headers::from_lookup(|name| case.request.headers.get(name).map(String::as_str));
        let verdict = verify(&keys, &headers, case.request.body.as_bytes(), case.now);
        let reason = match verdict {
            Ok(_) => "ok",
            Err(VerifyError::MissingHeader(_)) => "missing_header",
            Err(VerifyError::MalformedHeader { .. }) => "malformed_header",
            Err(VerifyError::TooOld { .. }) => "too_old",
            Err(VerifyError::TooNew { .. }) => "too_new",
            Err(VerifyError::NoUsableSignature) => "no_v1_signature",
            Err(VerifyError::BadSignature) => "bad_signature",
        };
        assert_eq!(
            (verdict.is_ok(), reason),
            (case.expect.valid, case.expect.reason.as_str()),
            "{}",
            case.name
        );
    }
}
