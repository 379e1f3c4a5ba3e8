//! Holds the namespaces of a Pod: does nothing until it is killed.

fn main() {
    loop {
        std::thread::park();
    }
}
