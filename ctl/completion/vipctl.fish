# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for vipctl(1)

# Of this host only: with --host= or --machine= a key press would wait for another one.
function __vipctl_names
    vipctl --no-pager --no-legend list 2>/dev/null | string replace -r ' .*' ''
end

# The words behind the verb, the one at the cursor left out, are this many.
function __vipctl_count
    set -l words (commandline -opc)
    set -l n -1
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word -H -M --host --machine --json --for --timeout --format -o --output --pid
            set skip 1
        else if not string match -q -- '-*' $word
            set n (math $n + 1)
        end
    end
    echo $n
end

function __vipctl_verb
    __fish_seen_subcommand_from $argv
end

# Not behind --, where another program's words are.
function __vipctl_own
    not contains -- -- (commandline -opc)
end

function __vipctl_first
    __vipctl_verb $argv; and test (__vipctl_count) = 0
end

complete -c vipctl -f
complete -c vipctl -s h -l help -d 'Show help'
complete -c vipctl -n 'not __vipctl_verb import' -l version -d 'Print the version'
complete -c vipctl -n 'not __vipctl_verb import' -s H -l host -x -a '(__fish_print_hostnames)' -d 'Act on another host, by ssh'
complete -c vipctl -n 'not __vipctl_verb import' -s M -l machine -x -d 'Act on a local container'
complete -c vipctl -n 'not __vipctl_verb import' -l json -x -a 'pretty short off' -d 'Write JSON'
complete -c vipctl -n 'not __vipctl_verb import' -l for -x -a '10s 1min 10min 1h' -d 'demote: how long to stay out'
complete -c vipctl -n 'not __vipctl_verb import' -l timeout -x -a '10s 1min 10min 1h' -d 'wait: how long at most'
complete -c vipctl -n 'not __vipctl_verb import' -l format -x -a 'openmetrics prometheus' -d 'metrics: in which form'
complete -c vipctl -n 'not __vipctl_verb import' -s q -l quiet -d 'is-master, wait: by exit code alone'
complete -c vipctl -n 'not __vipctl_verb import' -l no-pager -d 'Do not pipe output into a pager'
complete -c vipctl -n 'not __vipctl_verb import' -l no-legend -d 'No headers and no counts'
complete -c vipctl -n 'not __vipctl_verb import' -l no-ask-password -d 'Do not ask for passwords'

complete -c vipctl -n 'test (__vipctl_count) = -1' -a list -d 'One line per instance'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a status -d 'All about instances, and what to do'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a monitor -d 'Tell what happens, a line per event'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a demote -d 'Give the addresses up, stay out a while'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a promote -d 'Take the addresses over now'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a enable -d 'Take part in the election again'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a disable -d 'Leave the election until enabled'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a reload -d 'Read the configuration again'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a is-master -d 'Whether this host is master, as an exit code'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a wait -d 'Wait for init, backup or master'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a statistics -d 'Counters of an instance'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a metrics -d 'All numbers, as OpenMetrics text'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a import -d 'Convert ucarp, ifupdown, keepalived'
complete -c vipctl -n 'test (__vipctl_count) = -1' -a check -d 'Check the configuration on disk'

complete -c vipctl -n '__vipctl_verb status demote promote enable disable' -a '(__vipctl_names)' -d Instance
complete -c vipctl -n '__vipctl_first is-master statistics wait' -a '(__vipctl_names)' -d Instance
complete -c vipctl -n '__vipctl_verb wait; and test (__vipctl_count) = 1' -a 'init backup master' -d State
complete -c vipctl -n '__vipctl_first import' -a 'ucarp ifupdown keepalived' -d Kind
complete -c vipctl -n '__vipctl_verb import; and test (__vipctl_count) = 1; and not __vipctl_verb ucarp' -F
complete -c vipctl -n '__vipctl_verb import; and __vipctl_own' -s o -l output -x -a '(__fish_complete_directories)' -d 'Write files into a directory'
complete -c vipctl -n '__vipctl_verb import; and __vipctl_own' -s f -l force -d 'Overwrite files that are there'
complete -c vipctl -n '__vipctl_verb import; and __vipctl_own' -l pid -x -a '(__fish_complete_pids)' -d 'ucarp: the process that runs'
complete -c vipctl -n '__vipctl_first check' -a '(__fish_complete_directories)'
