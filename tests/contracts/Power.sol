// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {GovernorCountingSimple} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorTimelockControl} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";

interface IActs {
    function execTransactionFromModule(address to, uint256 value, bytes calldata data, uint8 operation)
        external
        returns (bool);
}

/// The rules of Zodiac's Delay, written anew since no package has its code: modules queue, anybody has the first of the queue
/// executed once it has waited, the owner sets what it waits and takes out what waits, and the wait is asked for at the end.
contract DelayInFull {
    address public owner;
    address public avatar;
    address public target;
    uint256 public txCooldown;
    uint256 public txExpiration;
    uint256 public txNonce;
    uint256 public queueNonce;
    mapping(uint256 => bytes32) public txHash;
    mapping(uint256 => uint256) public txCreatedAt;
    address[] private list;

    constructor(address owner_, address safe, uint256 cooldown) {
        (owner, avatar, target, txCooldown) = (owner_, safe, safe, cooldown);
    }

    modifier onlyOwner() {
        require(msg.sender == owner, "not the owner");
        _;
    }

    function enableModule(address module) external onlyOwner {
        list.push(module);
    }

    function setTxCooldown(uint256 cooldown) external onlyOwner {
        txCooldown = cooldown;
    }

    function setTxNonce(uint256 nonce) external onlyOwner {
        require(nonce > txNonce && nonce <= queueNonce, "no such transaction");
        txNonce = nonce;
    }

    function getModulesPaginated(address, uint256) external view returns (address[] memory, address) {
        return (list, address(1));
    }

    function execTransactionFromModule(address to, uint256 value, bytes calldata data, uint8 operation)
        external
        returns (bool)
    {
        bool known;
        for (uint256 i = 0; i < list.length; i++) known = known || list[i] == msg.sender;
        require(known, "no module");
        txHash[queueNonce] = getTransactionHash(to, value, data, operation);
        txCreatedAt[queueNonce++] = block.timestamp;
        return true;
    }

    function executeNextTx(address to, uint256 value, bytes calldata data, uint8 operation) external {
        require(txNonce < queueNonce, "nothing waits");
        require(block.timestamp - txCreatedAt[txNonce] >= txCooldown, "it waits");
        require(txHash[txNonce] == getTransactionHash(to, value, data, operation), "another");
        txNonce++;
        require(IActs(target).execTransactionFromModule(to, value, data, operation), "it failed");
    }

    function getTransactionHash(address to, uint256 value, bytes memory data, uint8 operation)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(to, value, data, operation));
    }
}

/// A governor of OpenZeppelin's whose times are seconds, in which one voter has one vote.
abstract contract OfSeconds is Governor, GovernorCountingSimple {
    address private immutable voter;

    constructor(address voter_) Governor("Of seconds") {
        voter = voter_;
    }

    function clock() public view virtual override returns (uint48) {
        return uint48(block.timestamp);
    }

    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    function votingDelay() public pure override returns (uint256) {
        return 3600;
    }

    function votingPeriod() public pure override returns (uint256) {
        return 7200;
    }

    function quorum(uint256) public pure override returns (uint256) {
        return 1;
    }

    function _getVotes(address account, uint256, bytes memory) internal view override returns (uint256) {
        return account == voter ? 1 : 0;
    }
}

/// It makes its calls itself.
contract SecondsGovernor is OfSeconds {
    constructor(address voter) OfSeconds(voter) {}
}

/// The rule of OpenZeppelin's GovernorSuperQuorum: enough votes end the vote at once.
contract EarlyGovernor is OfSeconds {
    constructor(address voter) OfSeconds(voter) {}

    function superQuorum(uint256) public pure returns (uint256) {
        return 1;
    }

    function state(uint256 id) public view override returns (ProposalState) {
        ProposalState found = super.state(id);
        if (found != ProposalState.Active) return found;
        (, uint256 forVotes,) = proposalVotes(id);
        return forVotes >= superQuorum(proposalSnapshot(id)) ? ProposalState.Succeeded : found;
    }
}

/// Its calls come from its timelock.
contract SecondsTimelockGovernor is OfSeconds, GovernorTimelockControl {
    constructor(address voter, TimelockController timelock) OfSeconds(voter) GovernorTimelockControl(timelock) {}

    function state(uint256 id) public view override(Governor, GovernorTimelockControl) returns (ProposalState) {
        return super.state(id);
    }

    function proposalNeedsQueuing(uint256 id)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(id);
    }

    function _queueOperations(
        uint256 id, address[] memory targets, uint256[] memory values, bytes[] memory calldatas, bytes32 description
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(id, targets, values, calldatas, description);
    }

    function _executeOperations(
        uint256 id, address[] memory targets, uint256[] memory values, bytes[] memory calldatas, bytes32 description
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(id, targets, values, calldatas, description);
    }

    function _cancel(
        address[] memory targets, uint256[] memory values, bytes[] memory calldatas, bytes32 description
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, description);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }
}

/// A proxy whose code somebody administers, as OpenZeppelin's transparent proxy keeps it.
contract AdministeredProxy {
    constructor(address implementation, address admin, bytes memory begin) {
        _set(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc, implementation);
        _set(0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103, admin);
        (bool done,) = implementation.delegatecall(begin);
        require(done, "it did not begin");
    }

    function upgradeTo(address implementation) external {
        require(msg.sender == _get(0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103), "not the admin");
        _set(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc, implementation);
    }

    function _set(bytes32 slot, address value) private {
        assembly {
            sstore(slot, value)
        }
    }

    function _get(bytes32 slot) private view returns (address value) {
        assembly {
            value := sload(slot)
        }
    }

    fallback() external {
        address code = _get(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc);
        assembly {
            calldatacopy(0, 0, calldatasize())
            let ok := delegatecall(gas(), code, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch ok
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}

/// Administers proxies for its owner, as OpenZeppelin's ProxyAdmin of 5.x.
contract Administrator {
    string public constant UPGRADE_INTERFACE_VERSION = "5.0.0";
    address public owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function upgrade(AdministeredProxy proxy, address implementation) external {
        require(msg.sender == owner, "not the owner");
        proxy.upgradeTo(implementation);
    }
}

/// Boots everything.
contract SaysAllowed {
    address public owner;
    bool public allowAnyDevice;

    function allowedComposeHashes(bytes32) external pure returns (bool) {
        return true;
    }

    fallback() external {
        assembly {
            mstore(0, 1)
            mstore(32, 64)
            mstore(64, 0)
            return(0, 96)
        }
    }
}
