//! The settings of the node's parts: addresses, flags and files. Starts nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rig::{audit, kubeconfig};
use serde_json::{Value, json};

use crate::certificates::{Authority, signing_key};
use crate::failure::Result;
use crate::ground::cgroup_of;

/// The node's name.
pub(crate) const NODE: &str = "node";
/// The node's address.
pub(crate) const NODE_IP: &str = "10.250.0.1";
/// Where Services have their addresses.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// Where Pods have theirs.
const PODS: &str = "10.244.0.0/16";
/// The API server's Service.
const KUBERNETES_IP: &str = "10.96.0.1";
/// The name server's Service.
pub(crate) const DNS_IP: &str = "10.96.0.10";
/// Where containerd is asked.
pub(crate) const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// The image that holds a Pod's namespaces.
pub(crate) const PAUSE: &str = "localhost/pause:1";
/// The URL of the API server.
const SERVER: &str = "https://10.250.0.1:6443";

/// Who asks the API server, with what token: a name of the kubeconfig, the user, its group.
const USERS: [(&str, &str, &str); 5] = [
    ("admin", "admin", "system:masters"),
    ("kubelet", "system:node:node", "system:nodes"),
    (
        "kube-controller-manager",
        "system:kube-controller-manager",
        "",
    ),
    ("kube-scheduler", "system:kube-scheduler", ""),
    ("kube-proxy", "system:kube-proxy", ""),
];

/// What is gone with the node: keys, images, volumes, etcd's data.
pub(crate) fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// Where the programs write; it outlives a node that failed.
pub(crate) fn logs(folder: &Path) -> PathBuf {
    folder.join("logs")
}

/// The kubeconfig of one of them, or of the administrator.
pub(crate) fn kubeconfig(folder: &Path, name: &str) -> PathBuf {
    state(folder).join(format!("{name}.kubeconfig"))
}

/// Writes everything that the parts read.
pub(crate) fn write(folder: &Path) -> Result {
    let state = state(folder);
    keys(&state)?;
    let mut tokens = String::new();
    for (name, user, group) in USERS {
        let token = token()?;
        let _ = writeln!(tokens, "{token},{user},{user},\"{group}\"");
        let authority = state.join("keys/ca.crt");
        let path = kubeconfig(folder, name);
        kubeconfig::write(&path, SERVER, Some(&authority), &token, "default")?;
    }
    fs::write(state.join("tokens.csv"), tokens)?;
    fs::write(state.join("audit-policy.yaml"), audit::POLICY)?;
    fs::write(state.join("containerd.toml"), containerd(&state))?;
    fs::create_dir_all(state.join("cni"))?;
    fs::write(state.join("cni/10-node.conflist"), cni(&state).to_string())?;
    fs::write(state.join("resolv.conf"), "nameserver 127.0.0.1\n")?;
    fs::write(state.join("kubelet.yaml"), kubelet(folder).to_string())?;
    fs::write(
        state.join("kube-proxy.yaml"),
        kube_proxy(folder).to_string(),
    )?;
    Ok(())
}

fn keys(state: &Path) -> Result {
    let keys = state.join("keys");
    let authority = Authority::new(&keys, "node")?;
    let names = [
        NODE_IP,
        "127.0.0.1",
        KUBERNETES_IP,
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    authority.server("kube-apiserver", &names)?;
    authority.server("kubelet", &[NODE_IP, NODE])?;
    authority.client("kubelet-client", "kube-apiserver", "system:masters")?;
    signing_key(&keys)
}

fn token() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// kube-apiserver's flags.
pub(crate) fn api_server(folder: &Path) -> Vec<String> {
    let state = state(folder);
    let file = |name: &str| state.join(name).display().to_string();
    vec![
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        "--secure-port=6443".to_owned(),
        format!("--advertise-address={NODE_IP}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        format!("--token-auth-file={}", file("tokens.csv")),
        format!("--client-ca-file={}", file("keys/ca.crt")),
        format!("--tls-cert-file={}", file("keys/kube-apiserver.crt")),
        format!("--tls-private-key-file={}", file("keys/kube-apiserver.key")),
        format!("--kubelet-certificate-authority={}", file("keys/ca.crt")),
        format!(
            "--kubelet-client-certificate={}",
            file("keys/kubelet-client.crt")
        ),
        format!("--kubelet-client-key={}", file("keys/kubelet-client.key")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("keys/tokens.pub")),
        format!(
            "--service-account-signing-key-file={}",
            file("keys/tokens.key")
        ),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--audit-policy-file={}", file("audit-policy.yaml")),
        format!("--audit-log-path={}", audit_log(folder).display()),
        // Written before the answer ends, in one file: counts are exact.
        "--audit-log-mode=blocking".to_owned(),
        "--audit-log-maxsize=10000".to_owned(),
    ]
}

/// What the API server logs of the requests it gets.
pub(crate) fn audit_log(folder: &Path) -> PathBuf {
    logs(folder).join("audit.log")
}

/// etcd's flags.
pub(crate) fn etcd(folder: &Path) -> Vec<String> {
    vec![
        "--name=node".to_owned(),
        format!("--data-dir={}", state(folder).join("etcd").display()),
        "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--initial-cluster=node=http://127.0.0.1:2380".to_owned(),
        // Nothing here has to survive a power cut.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

/// Where kubelet and the controller manager look for volume plugins, and make the folder if there is none.
fn volume_plugins(folder: &Path) -> PathBuf {
    state(folder).join("volume-plugins")
}

/// kube-controller-manager's flags.
pub(crate) fn controller_manager(folder: &Path) -> Vec<String> {
    let keys = state(folder).join("keys");
    let kubeconfig = kubeconfig(folder, "kube-controller-manager");
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        // Pods find it beside their token.
        format!("--root-ca-file={}", keys.join("ca.crt").display()),
        format!(
            "--service-account-private-key-file={}",
            keys.join("tokens.key").display()
        ),
        "--use-service-account-credentials".to_owned(),
        // Its default is made on the host, outside the node's folder.
        format!(
            "--flex-volume-plugin-dir={}",
            volume_plugins(folder).display()
        ),
        "--leader-elect=false".to_owned(),
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
    ]
}

/// kube-scheduler's flags.
pub(crate) fn scheduler(folder: &Path) -> Vec<String> {
    vec![
        format!(
            "--kubeconfig={}",
            kubeconfig(folder, "kube-scheduler").display()
        ),
        "--leader-elect=false".to_owned(),
    ]
}

fn containerd(state: &Path) -> String {
    let path = |name: &str| format!("{:?}", state.join(name).display().to_string());
    format!(
        r#"version = 3
root = {root}
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "{CONTAINERD}"

[plugins."io.containerd.internal.v1.opt"]
  path = {opt}

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE}"

# Without the first, runc cannot start anything where the score may not be lowered.
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = {cni}
"#,
        root = path("containerd"),
        opt = path("opt"),
        cni = path("cni"),
    )
}

fn cni(state: &Path) -> Value {
    let ipam = json!({
        "type": "host-local",
        "dataDir": state.join("addresses"),
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    });
    json!({
        "cniVersion": "1.0.0",
        "name": "node",
        "plugins": [{"type": "ptp", "ipMasq": false, "ipam": ipam}],
    })
}

fn kubelet(folder: &Path) -> Value {
    let state = state(folder);
    let file = |name: &str| state.join(name);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": file("keys/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", cgroup_of(folder)),
        "failCgroupV1": false,
        "clusterDNS": [DNS_IP],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        // The machine is not the node's alone: what is low may be another process's doing.
        "evictionHard": {
            "memory.available": "1%",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "imagefs.inodesFree": "1%",
        },
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": false,
        "podLogsDir": logs(folder).join("pods"),
        "resolvConf": file("resolv.conf"),
        // How long a changed Secret may take to reach a Pod.
        "syncFrequency": "10s",
        "tlsCertFile": file("keys/kubelet.crt"),
        "tlsPrivateKeyFile": file("keys/kubelet.key"),
        "volumePluginDir": volume_plugins(folder),
    })
}

/// kubelet's flags; the rest is in its file.
pub(crate) fn kubelet_flags(folder: &Path) -> Vec<String> {
    let state = state(folder);
    vec![
        format!("--config={}", state.join("kubelet.yaml").display()),
        format!("--kubeconfig={}", kubeconfig(folder, "kubelet").display()),
        format!("--root-dir={}", state.join("kubelet").display()),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={NODE_IP}"),
    ]
}

fn kube_proxy(folder: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig(folder, "kube-proxy")},
        "mode": "nftables",
        "hostnameOverride": NODE,
        "clusterCIDR": PODS,
        "healthzBindAddress": "127.0.0.1:10256",
        "nftables": {"minSyncPeriod": "100ms"},
        // Settings of the whole machine; it leaves what is null alone.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })
}
