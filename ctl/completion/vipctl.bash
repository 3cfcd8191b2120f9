# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for vipctl(1). Needs nothing of the bash-completion package but to be loaded by it.

# Of this host only: with --host= or --machine= a key press would wait for another one.
__vipctl_names() {
        local name rest
        vipctl --no-pager --no-legend list 2>/dev/null | while read -r name rest; do echo "$name"; done
}

_vipctl() {
        local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb= kind= n=0 i word
        local options='--host= --machine= --json= --for= --timeout= --format= --quiet --no-pager --no-legend --no-ask-password --version --help'
        local short='-H -M -q -h'
        local import_options='--output= --force --pid= --help'
        local import_short='-o -f -h'
        local verbs='list status monitor demote promote enable disable reload is-master wait statistics metrics import check'
        COMPREPLY=()

        # readline takes --json=short for three words
        if [[ $cur == = ]]; then
                cur=
        elif [[ $prev == = ]]; then
                prev=${COMP_WORDS[COMP_CWORD - 2]}
        fi
        case $prev in
        --json)
                mapfile -t COMPREPLY < <(compgen -W 'pretty short off' -- "$cur")
                return
                ;;
        --format)
                mapfile -t COMPREPLY < <(compgen -W 'openmetrics prometheus' -- "$cur")
                return
                ;;
        --for | --timeout)
                mapfile -t COMPREPLY < <(compgen -W '10s 1min 10min 1h' -- "$cur")
                return
                ;;
        -H | --host)
                mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")
                return
                ;;
        -M | --machine)
                mapfile -t COMPREPLY < <(compgen -W "$(machinectl --no-pager --no-legend list 2>/dev/null | while read -r word _; do echo "$word"; done)" -- "$cur")
                return
                ;;
        esac

        # the verb, and how many words stand between it and the cursor
        for ((i = 1; i < COMP_CWORD; i++)); do
                word=${COMP_WORDS[i]}
                case $word in
                =) ((i++)) ;;
                --json | --for | --timeout | --format | --host | --machine | -H | -M | --output | -o | --pid) [[ ${COMP_WORDS[i + 1]} == = ]] || ((i++)) ;;
                # what follows are another program's words
                --) return ;;
                -*) ;;
                *) if [[ -z $verb ]]; then verb=$word; else ((n++)); kind=$word; fi ;;
                esac
        done
        if [[ $verb == import ]]; then
                options=$import_options short=$import_short
                case $prev in
                -o | --output)
                        compopt -o filenames
                        mapfile -t COMPREPLY < <(compgen -A directory -- "$cur")
                        return
                        ;;
                --pid)
                        mapfile -t COMPREPLY < <(compgen -W "$(pidof ucarp)" -- "$cur")
                        return
                        ;;
                esac
        fi
        if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$options $short" -- "$cur")
                # no space behind an option that wants a value
                [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
                return
        fi
        case $verb in
        '') mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
        status | demote | promote | enable | disable) mapfile -t COMPREPLY < <(compgen -W "$(__vipctl_names)" -- "$cur") ;;
        is-master | statistics) [[ $n -gt 0 ]] || mapfile -t COMPREPLY < <(compgen -W "$(__vipctl_names)" -- "$cur") ;;
        wait)
                case $n in
                0) mapfile -t COMPREPLY < <(compgen -W "$(__vipctl_names)" -- "$cur") ;;
                1) mapfile -t COMPREPLY < <(compgen -W 'init backup master' -- "$cur") ;;
                esac
                ;;
        import)
                case $n in
                0) mapfile -t COMPREPLY < <(compgen -W 'ucarp ifupdown keepalived' -- "$cur") ;;
                1) [[ $kind == ucarp ]] || mapfile -t COMPREPLY < <(compgen -A file -- "$cur") ;;
                esac
                ;;
        check) [[ $n -gt 0 ]] || mapfile -t COMPREPLY < <(compgen -A directory -- "$cur") ;;
        esac
}

complete -F _vipctl vipctl
