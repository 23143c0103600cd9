# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_scw_known_hosts_global_optspecs
    string join \n h/help V/version
end

function __fish_scw_known_hosts_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_scw_known_hosts_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_scw_known_hosts_using_subcommand
    set -l cmd (__fish_scw_known_hosts_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -s h -l help -d 'Print help'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -s V -l version -d 'Print version'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -f -a "setup" -d 'Write the ssh configuration that has ssh ask this program'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -f -a "show" -d 'Print the fingerprints that an Instance published'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -f -a "verify" -d 'Compare the keys that a host offers with the published fingerprints'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -f -a "doctor" -d 'Check the credentials, their permissions, and the configuration of ssh'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -f -a "write" -d 'Write host keys that are published to a known_hosts file, for programs that do not run ssh'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -f -a "check" -d 'Answer ssh: this is the KnownHostsCommand that `setup` configures'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand setup" -l host -d 'Always refuse this host if its key cannot be checked; a pattern as in ssh_config, may be repeated' -r
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand setup" -l unknown -d 'What happens if the key of another candidate cannot be checked [default: ask, or as configured]' -r -f -a "ask\t'ssh decides, as without this program'
refuse\t'The connection is refused'"
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand setup" -l all-hosts -d 'Ask the API about each host, not only about candidates [default: no, or as configured]' -r -f -a "true\t''
false\t''"
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand setup" -l print -d 'Print the configuration and change nothing'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand setup" -l remove -d 'Undo what `setup` did'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand setup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand show" -l wait -d 'Wait until the Instance has published its fingerprints, for at most this time' -r
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand show" -l json -d 'Print a JSON document'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand show" -s h -l help -d 'Print help'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand verify" -l json -d 'Print a JSON document'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand verify" -s h -l help -d 'Print help'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand write" -l file -d 'The file [default: ~/.ssh/known_hosts]' -r -F
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand write" -s h -l help -d 'Print help'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand check" -l declared -d 'Hosts that are candidates, and refused if their keys cannot be checked; patterns with commas between them' -r
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand check" -l unknown -d 'What happens if the key cannot be checked' -r -f -a "ask\t'ssh decides, as without this program'
refuse\t'The connection is refused'"
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand check" -l all-hosts -d 'Ask the API about each host, not only about candidates'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand completions" -s h -l help -d 'Print help'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand help; and not __fish_seen_subcommand_from setup show verify doctor write check completions help" -f -a "setup" -d 'Write the ssh configuration that has ssh ask this program'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand help; and not __fish_seen_subcommand_from setup show verify doctor write check completions help" -f -a "show" -d 'Print the fingerprints that an Instance published'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand help; and not __fish_seen_subcommand_from setup show verify doctor write check completions help" -f -a "verify" -d 'Compare the keys that a host offers with the published fingerprints'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand help; and not __fish_seen_subcommand_from setup show verify doctor write check completions help" -f -a "doctor" -d 'Check the credentials, their permissions, and the configuration of ssh'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand help; and not __fish_seen_subcommand_from setup show verify doctor write check completions help" -f -a "write" -d 'Write host keys that are published to a known_hosts file, for programs that do not run ssh'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand help; and not __fish_seen_subcommand_from setup show verify doctor write check completions help" -f -a "check" -d 'Answer ssh: this is the KnownHostsCommand that `setup` configures'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand help; and not __fish_seen_subcommand_from setup show verify doctor write check completions help" -f -a "completions" -d 'Print the completions for a shell'
complete -c scw-known-hosts -n "__fish_scw_known_hosts_using_subcommand help; and not __fish_seen_subcommand_from setup show verify doctor write check completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
