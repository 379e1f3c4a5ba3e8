//! A wrong value ends the command with one message that names it.

use std::fs;
use std::os::unix::fs::symlink;

use crate::helm::{HELMS, chart, documents, program, template, the};

/// A `--set`, and the error about it.
const REFUSED: &[(&str, &str)] = &[
    (
        "settings.sweepIntervall=5m",
        "at '/settings': additional properties 'sweepIntervall' not allowed",
    ),
    (
        "setings.sweepInterval=5m",
        "at '': additional properties 'setings' not allowed",
    ),
    (
        "secret.apiKey=fw_123",
        "at '/secret': additional properties 'apiKey' not allowed",
    ),
    (
        "secret.name=",
        "at '/secret/name': '' does not match pattern",
    ),
    (
        "secret.name=Nope",
        "at '/secret/name': 'Nope' does not match pattern",
    ),
    (
        "settings.accountId=accounts/acme",
        "at '/settings/accountId': 'accounts/acme' does not match pattern",
    ),
    (
        "settings.accountId=7",
        "at '/settings/accountId': got number, want string",
    ),
    (
        "settings.baseUrl=http://example.com",
        "at '/settings/baseUrl': 'http://example.com' does not match pattern",
    ),
    (
        "settings.baseUrl=api.fireworks.ai",
        "at '/settings/baseUrl': 'api.fireworks.ai' does not match pattern",
    ),
    (
        "settings.httpsProxy=http://user:word@proxy:1",
        "settings.httpsProxy holds a user or a password",
    ),
    (
        "settings.observeOnly=yes",
        "at '/settings/observeOnly': got string, want boolean",
    ),
    (
        "settings.sweepInterval=5min",
        "at '/settings/sweepInterval': '5min' does not match pattern",
    ),
    (
        "settings.sweepInterval=60",
        "at '/settings/sweepInterval': got number, want string",
    ),
    (
        "settings.sweepInterval=999ms",
        "settings.sweepInterval is 999ms and must lie between 1s and 1h",
    ),
    (
        "settings.sweepInterval=61m",
        "settings.sweepInterval is 61m and must lie between 1s and 1h",
    ),
    (
        "settings.settleWindow=601s",
        "settings.settleWindow is 601s and must lie between 0s and 10m",
    ),
    (
        "settings.requestsPerMinute=0",
        "at '/settings/requestsPerMinute': minimum: got 0, want 1",
    ),
    (
        "settings.requestsPerMinute=6001",
        "at '/settings/requestsPerMinute': maximum: got 6,001, want 6,000",
    ),
    (
        "settings.concurrency=257",
        "at '/settings/concurrency': maximum: got 257, want 256",
    ),
    (
        "settings.listen=8080",
        "at '/settings/listen': got number, want string",
    ),
    (
        "settings.listen=0.0.0.0:0",
        "at '/settings/listen': '0.0.0.0:0' does not match pattern",
    ),
    (
        "settings.logFormat=xml",
        "at '/settings/logFormat': value must be one of 'json', 'text'",
    ),
    ("settings=null", "at '': missing property 'settings'"),
    (
        "image.digest=abc",
        "at '/image/digest': 'abc' does not match pattern",
    ),
    (
        "image.repository=",
        "image.repository is not set: no image is published",
    ),
    (
        "image.repository=operator:1.0",
        "at '/image/repository': 'operator:1.0' does not match pattern",
    ),
    (
        "image.pullPolicy=Sometimes",
        "at '/image/pullPolicy': value must be one of",
    ),
    (
        "caBundle.configMap=a,caBundle.secret=b",
        "caBundle.configMap and caBundle.secret are both set",
    ),
    (
        "watchNamespaces={Team}",
        "at '/watchNamespaces/0': 'Team' does not match pattern",
    ),
    (
        "watchNamespaces={a,a}",
        "at '/watchNamespaces': items at 0 and 1 are equal",
    ),
    (
        "watchNamespaces=team-a",
        "at '/watchNamespaces': got string, want array",
    ),
    (
        "restrictAdmin.roles={owner}",
        "at '/restrictAdmin/roles/0': value must be one of",
    ),
    (
        "podSecurity.user=0",
        "at '/podSecurity/user': minimum: got 0, want 1",
    ),
    (
        "podSecurity.fsGroup=any",
        "at '/podSecurity/fsGroup': 'any' does not match pattern",
    ),
    (
        "networkPolicy.dnsPorts={0}",
        "at '/networkPolicy/dnsPorts/0': minimum: got 0, want 1",
    ),
    (
        "networkPolicy.kubernetesPorts={70000}",
        "at '/networkPolicy/kubernetesPorts/0': maximum: got 70,000, want 65,535",
    ),
    (
        "resources.limit.cpu=1",
        "at '/resources': additional properties 'limit' not allowed",
    ),
    (
        "labels.version=1",
        "at '/labels/version': got number, want string",
    ),
    (
        "extraEnv[0].value=x",
        "at '/extraEnv/0': missing property 'name'",
    ),
    (
        "fullnameOverride=a-name-that-is-longer-than-the-fifty-two-characters-allowed",
        "at '/fullnameOverride': maxLength: got 59, want 52",
    ),
    (
        "crds.kep=true",
        "at '/crds': additional properties 'kep' not allowed",
    ),
    (
        "extraArgs={--log-format=text,--listen=0.0.0.0:9090}",
        "extraArgs holds --listen, on which other parts depend: set settings.listen instead",
    ),
    (
        "extraArgs={--namespace,team-a}",
        "extraArgs holds --namespace, on which other parts depend: set watchNamespaces instead",
    ),
    (
        "extraArgs={--api-key-file=/vault/key}",
        "extraArgs holds --api-key-file, on which other parts depend: set secret instead",
    ),
    (
        "extraArgs={--grant-namespace=iam}",
        "extraArgs holds --grant-namespace, on which other parts depend: set grantNamespaces instead",
    ),
    (
        "extraEnv[0].name=FIREWORKS_USER_OPERATOR_GRANT_NAMESPACE",
        "extraEnv holds FIREWORKS_USER_OPERATOR_GRANT_NAMESPACE, on which other parts depend: set grantNamespaces instead",
    ),
    (
        "grantNamespaces={Team}",
        "at '/grantNamespaces/0': 'Team' does not match pattern",
    ),
    (
        "settings.protectedUsers={accounts/acme/users/a}",
        "at '/settings/protectedUsers/0': 'accounts/acme/users/a' does not match pattern",
    ),
    (
        "settings.minAdmins=0",
        "at '/settings/minAdmins': minimum: got 0, want 1",
    ),
    (
        "extraEnv[0].name=FIREWORKS_API_KEY",
        "extraEnv holds FIREWORKS_API_KEY: the key is in the Secret that secret.name names",
    ),
];

#[test]
fn a_wrong_value_is_refused_by_one_line_that_names_it() {
    for helm in HELMS {
        for (set, wording) in REFUSED {
            let output = template(helm, &[(*set).to_owned()]);
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success(), "{helm}: {set} was accepted");
            // Of the lines that helm puts around it none speaks of a value.
            let about = printed
                .lines()
                .filter(|line| line.contains(wording))
                .count();
            let complaints = printed
                .lines()
                .filter(|line| line.starts_with("- at "))
                .count();
            assert_eq!(about, 1, "{helm} {set}: {printed}");
            assert!(complaints <= 1, "{helm} {set}: {printed}");
            assert!(!printed.contains("user:word"), "{helm}: {printed}");
        }
    }
}

#[test]
fn the_bounds_of_what_is_allowed_are_allowed() {
    let sets = [
        "settings.sweepInterval=1s,settings.settleWindow=0s,settings.requestsPerMinute=1,settings.maxUsers=1,settings.concurrency=1",
        "settings.sweepInterval=1h,settings.settleWindow=10m,settings.requestsPerMinute=6000,settings.maxUsers=1000000,settings.concurrency=256",
        "settings.sweepInterval=1000ms,settings.baseUrl=http://127.0.0.1:8080/v1,settings.listen=[::]:9090",
        "settings.baseUrl=https://gateway.fireworks.svc:8443,image.repository=registry.example.com:5000/a/b",
        "podSecurity.user=null,podSecurity.group=null,podSecurity.fsGroup=null,affinity=null,resources=null",
    ];
    for helm in HELMS {
        for set in sets {
            let output = template(helm, &[set.to_owned()]);
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{helm} {set}: {printed}");
        }
    }
}

/// helm 4 drops a null that a parent chart passes on.
#[test]
fn parent_chart_leaves_user_and_group_to_the_cluster() {
    let parent = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(parent.path().join(name), text).unwrap();
    file(
        "Chart.yaml",
        "{apiVersion: v2, name: parent, version: 0.1.0}",
    );
    file(
        "values.yaml",
        "fireworks-user-operator: {image: {repository: operator}, podSecurity: {user: assigned, group: assigned, fsGroup: assigned}}",
    );
    let charts = parent.path().join("charts");
    fs::create_dir(&charts).unwrap();
    symlink(chart(), charts.join("fireworks-user-operator")).unwrap();
    for helm in HELMS {
        let rendered = program(helm)
            .args(["template", "parent"])
            .arg(parent.path())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&rendered.stderr);
        assert!(rendered.status.success(), "{helm}: {printed}");
        let rendered = String::from_utf8(rendered.stdout).unwrap();
        let deployment = the("Deployment", &documents(&rendered));
        let context = &deployment["spec"]["template"]["spec"]["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        for id in ["runAsUser", "runAsGroup", "fsGroup"] {
            assert!(context[id].is_null(), "{helm} {id}: {context}");
        }
    }
}
