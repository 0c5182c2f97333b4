use super::*;

/// A machine on paper: what `/proc/self` says, and the files of its groups.
struct Case {
    name: &'static str,
    cgroup: &'static str,
    mountinfo: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// Bytes left and the group that leaves them.
    expected: Option<(u64, &'static str)>,
}

const V2: &str = "24 1 0:22 / /proc rw - proc proc rw\n\
                  31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                  32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                  35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

const CASES: &[Case] = &[
    Case {
        name: "version 2, the group's own limit",
        cgroup: "0::/user.slice/job\n",
        mountinfo: V2,
        files: &[
            ("sys/fs/cgroup/user.slice/job/memory.max", "1000\n"),
            ("sys/fs/cgroup/user.slice/job/memory.high", "max\n"),
            ("sys/fs/cgroup/user.slice/job/memory.current", "300\n"),
            (
                "sys/fs/cgroup/user.slice/job/memory.stat",
                "anon 200\ninactive_file 100\nactive_file 5\n",
            ),
        ],
        expected: Some((800, "sys/fs/cgroup/user.slice/job")),
    },
    Case {
        name: "version 2, a group two levels above is narrower",
        cgroup: "0::/slurm/job_7/step_0/task_0\n",
        mountinfo: V2,
        files: &[
            ("sys/fs/cgroup/slurm/job_7/memory.max", "500\n"),
            ("sys/fs/cgroup/slurm/job_7/memory.current", "450\n"),
            ("sys/fs/cgroup/slurm/job_7/step_0/memory.max", "max\n"),
            ("sys/fs/cgroup/slurm/job_7/step_0/memory.current", "450\n"),
            (
                "sys/fs/cgroup/slurm/job_7/step_0/task_0/memory.max",
                "900\n",
            ),
            (
                "sys/fs/cgroup/slurm/job_7/step_0/task_0/memory.current",
                "10\n",
            ),
        ],
        expected: Some((50, "sys/fs/cgroup/slurm/job_7")),
    },
    Case {
        name: "version 2, memory.high below memory.max",
        cgroup: "0::/a\n",
        mountinfo: V2,
        files: &[
            ("sys/fs/cgroup/a/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/memory.high", "600\n"),
            ("sys/fs/cgroup/a/memory.current", "100\n"),
        ],
        expected: Some((500, "sys/fs/cgroup/a")),
    },
    Case {
        name: "version 2, memory.high alone, more in use than it allows",
        cgroup: "0::/a\n",
        mountinfo: V2,
        files: &[
            ("sys/fs/cgroup/a/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.high", "600\n"),
            ("sys/fs/cgroup/a/memory.current", "700\n"),
        ],
        expected: Some((0, "sys/fs/cgroup/a")),
    },
    Case {
        name: "version 2 in a container with its own namespace",
        cgroup: "0::/\n",
        mountinfo: "31 23 0:28 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
        files: &[
            ("sys/fs/cgroup/memory.max", "1000\n"),
            ("sys/fs/cgroup/memory.current", "400\n"),
        ],
        expected: Some((600, "sys/fs/cgroup")),
    },
    Case {
        name: "version 2, a path out of the namespace",
        cgroup: "0::/../other\n",
        mountinfo: V2,
        files: &[
            ("sys/fs/cgroup/memory.max", "1000\n"),
            ("sys/fs/cgroup/memory.current", "400\n"),
        ],
        expected: Some((600, "sys/fs/cgroup")),
    },
    Case {
        name: "version 1, the group's own limit, beside an empty version 2",
        cgroup: "4:memory:/attack\n1:cpu,cpuacct:/other\n0::/\n",
        mountinfo: V1,
        files: &[
            (
                "sys/fs/cgroup/memory/attack/memory.limit_in_bytes",
                "1000\n",
            ),
            ("sys/fs/cgroup/memory/attack/memory.usage_in_bytes", "300\n"),
            (
                "sys/fs/cgroup/memory/attack/memory.stat",
                "inactive_file 7\nhierarchical_memory_limit 1000\ntotal_inactive_file 50\n",
            ),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n"),
        ],
        expected: Some((750, "sys/fs/cgroup/memory/attack")),
    },
    Case {
        name: "version 1, the group above is narrower",
        cgroup: "4:memory:/job/step\n",
        mountinfo: V1,
        files: &[
            ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "400\n"),
            ("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "350\n"),
            (
                "sys/fs/cgroup/memory/job/step/memory.limit_in_bytes",
                "1000\n",
            ),
            (
                "sys/fs/cgroup/memory/job/step/memory.usage_in_bytes",
                "20\n",
            ),
        ],
        expected: Some((50, "sys/fs/cgroup/memory/job")),
    },
    Case {
        name: "version 1 in a container: its group is the mount's root, a limit above is inherited",
        cgroup: "4:memory:/docker/abc\n",
        mountinfo: "35 31 0:32 /docker/abc /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory\n",
        files: &[
            (
                "sys/fs/cgroup/my memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/my memory/memory.usage_in_bytes", "100\n"),
            (
                "sys/fs/cgroup/my memory/memory.stat",
                "hierarchical_memory_limit 700\n",
            ),
        ],
        expected: Some((600, "sys/fs/cgroup/my memory")),
    },
    Case {
        name: "no limit anywhere",
        cgroup: "0::/a/b\n",
        mountinfo: V2,
        files: &[
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.current", "100\n"),
        ],
        expected: None,
    },
    Case {
        name: "no control groups at all",
        cgroup: "",
        mountinfo: "24 1 0:22 / /proc rw - proc proc rw\n",
        files: &[],
        expected: None,
    },
];

#[test]
fn every_limit_above_the_process_counts() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let process = folder.path().join("proc");
        fs::create_dir_all(&process).unwrap();
        fs::write(process.join("cgroup"), case.cgroup).unwrap();
        fs::write(process.join("mountinfo"), case.mountinfo).unwrap();
        for (path, text) in case.files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = tightest(&process, folder.path());
        let found = found.map(|limit| (limit.left, limit.group));
        let expected = (case.expected).map(|(left, group)| (left, folder.path().join(group)));
        assert_eq!(found, expected, "{}", case.name);
    }
}
