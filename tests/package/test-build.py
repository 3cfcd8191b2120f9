#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is given away is complete, and built and described as those who take it expect."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

import packages

sys.path.insert(0, os.path.join(packages.HERE, "../house"))
import tap  # noqa: E402

SPEC = f"{packages.TREE}/packaging/vipd.spec"


def made(pattern):
    return glob.glob(f"{packages.prepare()}/{pattern}")


def output(*argv):
    result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return result.returncode, result.stdout


def test_the_tarball_has_the_tree():
    with tarfile.open(made("vipd-*.tar.gz")[0]) as tar:
        has = {name.partition("/")[2] for name in (member.name for member in tar.getmembers() if not member.isdir())}
    wanted = set(packages.files())
    yield from (f"lacks {name}" for name in sorted(wanted - has))
    yield from (f"has {name}, which the tree has not" for name in sorted(has - wanted))


def test_lintian_has_nothing_to_say():
    status, text = output("lintian", "--allow-root", "--fail-on=error,warning", "--tag-display-limit=0", *made("*.changes"))
    if status != 0 or re.search(r"(?m)^[EW]: ", text):
        yield from text.splitlines()


def test_every_file_is_in_one_package():
    """What meson installs, and nothing else twice."""
    owners = {}
    for name in packages.NAMES:
        status, text = output("dpkg-deb", "--contents", made(f"{name}_*.deb")[0])
        for path in (line.split()[5] for line in text.splitlines() if not line.startswith("d")):
            owners.setdefault(path, []).append(name)
    yield from (f"{path} is in {' and '.join(names)}" for path, names in owners.items() if len(names) > 1)
    for path, name in {"./usr/sbin/vipd": "vipd", "./usr/libexec/vipd/vipd-checker": "vipd", "./lib/systemd/system/vipd.service": "vipd",
                       "./usr/sbin/vipd-ucarp": "vipd-ucarp", "./usr/sbin/ucarp": "vipd-ucarp"}.items():
        if owners.get(path) != [name]:
            yield f"{path} is in {owners.get(path)}, not in {name}"


def test_maintainer_scripts_do_not_stop_or_start_what_they_should_not():
    """debhelper makes them from the units it finds, unless told which; vipd-failed.service, started, stops every role."""
    where = f"{packages.CACHE}/scripts"
    shutil.rmtree(where, ignore_errors=True)
    output("dpkg-deb", "--control", made("vipd_*.deb")[0], where)
    for name in ("preinst", "postinst", "prerm", "postrm"):
        if not os.path.exists(f"{where}/{name}"):
            continue
        with open(f"{where}/{name}") as f:
            text = f.read()
        if "vipd-failed" in text:
            yield f"{name} knows vipd-failed.service"
        if name == "preinst" and "systemd-invoke" in text:
            yield "preinst stops the service"


def project_version():
    with open(f"{packages.TREE}/meson.build") as f:
        return re.search(r"version: '([^']+)'", f.read())[1]


def test_the_spec_is_as_rpm_expects():
    """Fedora's macros, which Debian does not have, are left as they are."""
    status, text = output("rpmspec", "--parse", SPEC)
    if status != 0:
        yield from text.splitlines()
    version = re.search(r"(?m)^Version: *(\S+)", text)
    if not version or version[1] != project_version():
        yield f"the spec has version {version and version[1]}, the project {project_version()}"
    status, text = output("rpmlint", "--rpmlintrc", SPEC.replace(".spec", ".rpmlintrc"), SPEC)
    if status != 0 or " 0 errors, 0 warnings" not in text:
        yield from text.splitlines()


# What Fedora's packages meson and systemd-rpm-macros define. The programs are those of this build: what counts here is what comes of them.
MACROS = r"""%_topdir {top}
%_unitdir /usr/lib/systemd/system
%_sysusersdir /usr/lib/sysusers.d
%_udevrulesdir /usr/lib/udev/rules.d
%debug_package %{{nil}}
%meson true
%meson_build true
%meson_test true
%meson_install meson install -C {build} --no-rebuild --destdir %{{buildroot}} >/dev/null && mv %{{buildroot}}/usr/share/zsh/vendor-completions %{{buildroot}}/usr/share/zsh/site-functions
%systemd_requires Requires: systemd
%systemd_post() :
%systemd_preun() :
%systemd_postun_with_restart() :
"""


def installed():
    """What meson installs."""
    with open(f"{packages.BUILD}/meson-info/intro-installed.json") as f:
        # where Debian has it, and where Fedora does
        return {path.replace("/zsh/vendor-completions/", "/zsh/site-functions/") for path in json.load(f).values()}


def files_of(package):
    """Without directories; manuals without their compression."""
    _, text = output("rpm", "--query", "--package", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]", package)
    return {re.sub(r"(/man/.*)\.gz$", r"\1", line.split(maxsplit=1)[1]) for line in text.splitlines() if not line.startswith("d")}


def test_rpmbuild_makes_packages_that_have_every_file():
    """It refuses a file that %files does not name, and a name there without a file."""
    top = f"{packages.CACHE}/rpm"
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(f"{top}/SOURCES")
    with open(f"{top}/macros", "w") as f:
        f.write(MACROS.format(top=top, build=packages.BUILD))
    # as it is wanted, at the price that it need not cost here
    status, text = output("sh", "-c", 'gzip -dc "$1" | xz -0 >"$2"', "sh", made("vipd-*.tar.gz")[0], f"{top}/SOURCES/vipd-{project_version()}.tar.xz")
    if status == 0:
        status, text = output("rpmbuild", "--nodeps", f"--load={top}/macros", "-ba", SPEC)
    if status != 0:
        yield from text.splitlines()[-40:]
        return
    owners = {}
    for package in glob.glob(f"{top}/RPMS/*/*.rpm"):
        for path in files_of(package):
            owners.setdefault(path, []).append(re.sub(r"-[0-9].*", "", os.path.basename(package)))
    yield from (f"{path} is in no package" for path in sorted(installed() - set(owners)))
    of_rpm = ("/usr/share/licenses/", "/usr/share/doc/", "/usr/lib/.build-id/")
    yield from (f"{path} is in {names}, and meson does not install it" for path, names in sorted(owners.items())
                if path not in installed() and not path.startswith(of_rpm))
    for path, name in {"/usr/sbin/vipd": "vipd", "/usr/libexec/vipd/vipd-checker": "vipd", "/usr/sbin/vipd-ucarp": "vipd-ucarp"}.items():
        if owners.get(path) != [name]:
            yield f"{path} is in {owners.get(path)}, not in {name}"
    if not glob.glob(f"{top}/SRPMS/vipd-*.src.rpm"):
        yield "there is no source package"
    shutil.rmtree(top)


def test_versions_agree():
    status, text = output("dpkg-parsechangelog", f"--file={packages.TREE}/debian/changelog", "--show-field=Version")
    if text.strip() != project_version():
        yield f"debian/changelog has {text.strip()}, meson.build {project_version()}"


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP unshare --net needs root")
        sys.exit(0)
    tap.main(globals())
